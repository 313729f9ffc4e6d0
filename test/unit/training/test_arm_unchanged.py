"""Stacking alone trains as it did in version 0.1: batches bit for bit, losses to five digits.

The numbers are that version's. Sums of floats are taken in another order since sequences of all
layouts are run together, and floating-point kernels differ between processors.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch

from gato_ros.episodes.episode import EpisodeInfo, EpisodeWriter
from gato_ros.robot import TORQUES, RobotSpec
from gato_ros.training.data.mixture import Mixture
from gato_ros.training.settings import load_settings
from gato_ros.training.train import train

# Taken at 6658db6, torch 2.13.0, one thread.
BATCHES = '0e231da0c5ccbe35'
LOSSES = {  # step -> tokens, auxiliary, error
    0: [7.0984649658203125, 0.7889976501464844, 0.6952432990074158],
    24: [6.501468658447266, 0.7630501389503479, 0.6532837152481079],
    49: [6.201163291931152, 0.6144068241119385, 0.5949299931526184]}


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


@pytest.mark.slow
def test_fifty_steps_of_stacking_are_those_of_version_01(
        tmp_path: Path, robot: RobotSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    make_episodes(tmp_path / 'episodes', robot)
    settings = load_settings('stack_small', {
        'model': 'tiny', 'data.folders': [str(tmp_path / 'episodes')], 'data.timesteps': 3,
        'data.prompt_fraction': 0.25, 'data.prompt_timesteps': 2, 'data.sentence_fraction': 0.25,
        'data.named_fraction': 0.125, 'data.policy_weight': 2, 'batch': 16, 'steps': 50,
        'warmup': 5, 'learning_rate': 1e-3, 'history_dropout': 0.0, 'smoothing_bins': 2.0,
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
    for step, expected in LOSSES.items():
        found = [rows[step][name] for name in ('tokens', 'auxiliary', 'error')]
        assert found == pytest.approx(expected, rel=2e-5, abs=1e-5)
