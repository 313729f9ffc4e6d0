"""Training throughput beside a plain Hugging Face Trainer, on the same batches, in one run.

    pip install 'gato_ros[bench]'
    python benchmarks/training.py --data data/stack --json out/training.json

The peer is a Llama decoder of the same layers, width, heads and hidden sizes over the same
vocabulary, behind the same patch encoder, trained by ``transformers.Trainer`` with its defaults
(fused AdamW, autocast); the loss is masked to the same targets. ``lean`` is the same peer as a
careful user would write it: the head is computed at the targets only. All take turns, so that
whatever else the machine does meets all; the figures are medians of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

from gato_ros.model.architecture import Architecture, load_architecture
from gato_ros.model.embed import PatchEncoder
from gato_ros.model.gato import Gato, count_parameters
from gato_ros.tokens import vocab
from gato_ros.training import processes
from gato_ros.training.data.mixture import Mixture
from gato_ros.training.loss import MaskedLoss
from gato_ros.training.settings import TrainSettings, load_settings
from gato_ros.training.step import make_optimizer, optimise

IGNORED = -100  # the label that Hugging Face's loss leaves out


class Peer(nn.Module):
    """A Llama decoder whose patches come from our encoder; lean: with no score in vain."""

    def __init__(self, arch: Architecture, lean: bool) -> None:
        super().__init__()
        self.lean = lean
        self.patches = PatchEncoder(arch)
        self.decoder = LlamaForCausalLM(LlamaConfig(
            vocab_size=vocab.SIZE, hidden_size=arch.width, num_hidden_layers=arch.layers,
            num_attention_heads=arch.heads, head_dim=arch.key_size, tie_word_embeddings=True,
            intermediate_size=arch.feedforward // 2, use_cache=False))

    def forward(self, ids: Tensor, pictures: Tensor, labels: Tensor) -> dict[str, Tensor]:
        x = self.decoder.get_input_embeddings()(ids.clamp(min=0))
        drawn = self.patches(pictures.flatten(0, 1)).view(*pictures.shape[:2], -1)
        x = x.masked_scatter((ids < 0)[..., None], drawn.to(x.dtype))
        if not self.lean:
            return {'loss': self.decoder(inputs_embeds=x, labels=labels).loss}
        wanted = (labels[0] != IGNORED).nonzero()[:, 0]
        logits = self.decoder(inputs_embeds=x, logits_to_keep=wanted - 1).logits.float()
        return {'loss': F.cross_entropy(logits.flatten(0, 1), labels[:, wanted].flatten())}


class Ours:
    """The step of ``gato-ros train``."""

    def __init__(self, settings: TrainSettings, sampler: Mixture,
                 process: processes.Process) -> None:
        self.settings, self.sampler, self.process = settings, sampler, process
        self.model = Gato(load_architecture(settings.model), sampler.auxiliary).to(process.device)
        self.loss = MaskedLoss(self.model, settings.smoothing_bins, 0.0,
                               settings.auxiliary_weight).to(process.device)
        self.optimizer = make_optimizer(self.model, settings)

    def run(self, steps: int) -> float:
        """Train for some steps -> seconds."""
        device = self.process.device
        batches = [self.sampler.batch(step, self.settings.batch) for step in range(steps)]
        self.model.train()
        start = time.perf_counter()
        for seed, batch in enumerate(batches):
            optimise(self.loss, {seed: [group.to(device) for group in batch]}, self.optimizer,
                     self.settings, device)
        _finish(device)
        return time.perf_counter() - start


class Theirs:
    """The same batches through ``transformers.Trainer``."""

    def __init__(self, settings: TrainSettings, sampler: Mixture, lean: bool) -> None:
        self.settings, self.sampler = settings, sampler
        self.model = Peer(load_architecture(settings.model), lean)

    def run(self, steps: int) -> float:
        """Train for some steps -> seconds; what is made beforehand is not counted."""
        rows: list[dict[str, Tensor]] = []
        for step in range(steps):
            (group,) = self.sampler.batch(step, self.settings.batch)
            labels = torch.full_like(group.targets, IGNORED)
            for _, _, slots in group.layout.targets:
                labels[:, slots] = group.targets[:, slots]
            rows += [{'ids': i, 'pictures': p, 'labels': t}
                     for i, p, t in zip(group.ids, group.patches, labels, strict=True)]
        with tempfile.TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                folder, max_steps=steps, per_device_train_batch_size=self.settings.batch,
                learning_rate=self.settings.learning_rate, save_strategy='no', report_to='none',
                bf16=self.settings.precision == 'bfloat16', disable_tqdm=True,
                logging_strategy='no', remove_unused_columns=False,
                use_cpu=not torch.cuda.is_available())
            trainer = Trainer(self.model, arguments, train_dataset=rows)  # type: ignore[arg-type]
            start = time.perf_counter()
            trainer.train()
            _finish(trainer.args.device)
            return time.perf_counter() - start


def _finish(device: torch.device) -> None:
    if device.type == 'cuda':
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.
                                     RawDescriptionHelpFormatter)
    parser.add_argument('--data', required=True, help='folder of episodes')
    parser.add_argument('--settings', default='stack_small')
    parser.add_argument('--steps', type=int, default=8, help='optimiser steps in a round')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--batch', type=int, default=128)
    parser.add_argument('--precision', default='bfloat16')
    parser.add_argument('--json', type=Path)
    chosen = parser.parse_args()
    settings = load_settings(chosen.settings, {
        'data.folders': [chosen.data], 'data.sentence_fraction': 0.0,
        'data.prompt_fraction': 0.0,
        'batch': chosen.batch, 'precision': chosen.precision})
    process = processes.start('auto')
    sampler = Mixture(settings.sources, 0)
    sides: dict[str, Ours | Theirs] = {
        'ours': Ours(settings, sampler, process), 'plain': Theirs(settings, sampler, lean=False),
        'lean': Theirs(settings, sampler, lean=True)}
    for side in sides.values():
        side.run(1)
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(chosen.rounds):
        for name, side in sides.items():
            seconds[name].append(side.run(chosen.steps))
    timesteps = chosen.steps * settings.batch * settings.data.timesteps
    result: dict[str, Any] = {
        'parameters': {name: count_parameters(side.model) for name, side in sides.items()},
        'timesteps_per_s': {name: timesteps / statistics.median(times)
                            for name, times in seconds.items()},
        'times_faster_than': {name: statistics.median(
            b / a for a, b in zip(seconds['ours'], seconds[name], strict=True))
            for name in ('plain', 'lean')},
        'rounds': chosen.rounds, 'steps': chosen.steps, 'batch': settings.batch,
        'precision': settings.precision, 'device': str(process.device),
        'threads': torch.get_num_threads(), 'cores': os.cpu_count()}
    print(json.dumps(result, indent=1))
    if chosen.json:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(result, indent=1) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
