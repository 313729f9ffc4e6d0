"""Stacking alone trains as it did in version 0.1, bit for bit: hashes taken from that version.

What floating-point kernels yield depends on the processor. So a short computation with the same
operations is hashed, too: where it gives other bits than on the machine that took the hashes,
losses are compared to five digits, and the batches, which are whole numbers, by their bits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from gato_ros.episodes.episode import EpisodeInfo, EpisodeWriter
from gato_ros.robot import TORQUES, RobotSpec
from gato_ros.training.data.mixture import Mixture
from gato_ros.training.settings import load_settings
from gato_ros.training.train import train

# Taken at 6658db6, torch 2.13.0, one thread.
BATCHES, EMA, MODEL = '0e231da0c5ccbe35', '76795ddbaaa382dd', 'bf1ecfcc8bdf46f9'
LOSSES = {  # step -> tokens, auxiliary, error
    0: [7.098438262939453, 0.7893223166465759, 0.6950520873069763],
    24: [6.502197265625, 0.7566989064216614, 0.6501220464706421],
    49: [6.208150386810303, 0.5847911834716797, 0.6088663935661316]}
KERNELS = 'd0e2584ea80b50af'


def make_episodes(folder: Path, robot: RobotSpec) -> None:
    """Write six episodes of noise, as version 0.1 wrote them: no specification in the header."""
    folder.mkdir()
    for number in range(6):
        rng, writer = np.random.default_rng((7, number)), EpisodeWriter()
        for _ in range(12 + number):
            observation = robot.example_observation(int(rng.integers(1 << 30)))
            label = {TORQUES: rng.uniform(-robot.scale, robot.scale)}
            sent = {TORQUES: rng.uniform(-robot.scale, robot.scale)}
            writer.add(observation, label, sent, {'tcp_position': rng.normal(size=3),
                                                  'red_yaw': rng.normal(size=2)})
        sentence = ('stack the red block on the blue block' if number % 2
                    else 'lift the green block')
        writer.save(folder / f'{number:08d}.safetensors', EpisodeInfo(
            'panda_sim', robot.timestep().hash, f't{number % 2}', sentence, 100_000 + number,
            'policy' if number == 5 else 'expert', number != 5))


def digest(parts: Iterable[bytes]) -> str:
    total = hashlib.sha256()
    for part in parts:
        total.update(part)
    return total.hexdigest()[:16]


def kernels() -> str:
    """Return a hash of what this machine makes of the operations that training is made of."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(8, 3, 16, 16, generator=generator)
    kernel = torch.randn(16, 3, 4, 4, generator=generator).mul_(0.1).requires_grad_()
    weight = torch.randn(64, 256, generator=generator).mul_(0.1).requires_grad_()
    optimizer = torch.optim.AdamW([kernel, weight], lr=1e-2, fused=True)
    for _ in range(3):
        x = F.gelu(F.group_norm(F.conv2d(pixels, kernel, stride=4), 4)).flatten(1) @ weight.T
        x = F.scaled_dot_product_attention(x[None, None], x[None, None], x[None, None])[0, 0]
        loss = F.layer_norm(x, (64,)).log_softmax(-1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return digest(t.detach().numpy().tobytes() for t in (kernel, weight))


@pytest.mark.slow
def test_fifty_steps_of_stacking_give_the_bits_of_version_01(
        tmp_path: Path, robot: RobotSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    make_episodes(tmp_path / 'episodes', robot)
    settings = load_settings('stack_small', {
        'model': 'tiny', 'data.folders': [str(tmp_path / 'episodes')], 'data.timesteps': 3,
        'data.prompt_fraction': 0.25, 'data.prompt_timesteps': 2, 'data.sentence_fraction': 0.25,
        'data.named_fraction': 0.125, 'data.policy_weight': 2, 'batch': 16, 'steps': 50,
        'warmup': 5, 'learning_rate': 1e-3, 'history_dropout': 0.3, 'smoothing_bins': 2.0,
        'auxiliary_weight': 0.5, 'precision': 'float32', 'save_every': 50, 'log_every': 1})
    drawn: dict[int, str] = {}
    plain = Mixture.batch

    def batch(self: Mixture, step: int, size: int, rank: int = 0):
        groups = plain(self, step, size, rank)
        drawn[step] = digest(t.contiguous().numpy().tobytes() for group in groups for t in (
            group.ids, group.targets, group.patches, group.auxiliary))
        return groups
    monkeypatch.setattr(Mixture, 'batch', batch)
    train(settings, tmp_path / 'run', 'cpu')
    assert digest(drawn[step].encode() for step in sorted(drawn)) == BATCHES
    rows = [json.loads(line) for line in (tmp_path / 'run/log.jsonl').read_text().splitlines()]
    state = torch.load(tmp_path / 'run/state.pt', weights_only=True)
    if kernels() == KERNELS:
        assert {step: [rows[step][name] for name in ('tokens', 'auxiliary', 'error')]
                for step in LOSSES} == LOSSES
        model, ema = state['model'], state['average']
        assert digest(model[name].numpy().tobytes() for name in sorted(model)) == MODEL
        assert digest(part for name in sorted(ema)
                      for part in (name.encode(), ema[name].numpy().tobytes())) == EMA
    for step, expected in LOSSES.items():
        found = [rows[step][name] for name in ('tokens', 'auxiliary', 'error')]
        assert found == pytest.approx(expected, rel=2e-5, abs=1e-5)
