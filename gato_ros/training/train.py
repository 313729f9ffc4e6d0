"""The training loop: episodes in, a run's folder out.

    gato-ros train stack_small --out runs/stack
    torchrun --nproc-per-node 2 -m gato_ros.training.train stack_small --out runs/stack

The folder holds ``settings.yaml``, ``checkpoint/`` (the weights' moving average, what the policy
loads), ``state.pt`` (everything needed to go on bit for bit), ``log.jsonl``, ``tensorboard/`` and
``loss.png``. Every random draw is a function of seed, step and rank, so resuming repeats nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

import gato_ros
from gato_ros.config import ConfigError, from_dict, read_yaml, to_dict
from gato_ros.model.architecture import load_architecture
from gato_ros.model.gato import Gato, count_parameters
from gato_ros.policy.checkpoint import CheckpointConfig, load_checkpoint, save_checkpoint
from gato_ros.spec import load_robot
from gato_ros.tokens.context import CAPACITY
from gato_ros.training import processes
from gato_ros.training.dataset import Group, WindowSampler
from gato_ros.training.log import RunLog
from gato_ros.training.loss import MaskedLoss
from gato_ros.training.processes import Process
from gato_ros.training.schedule import learning_rate
from gato_ros.training.settings import TrainSettings


def train(settings: TrainSettings, out: Path, device: str = 'auto',
          start_from: Path | None = None) -> Path:
    """Train, or go on with the run in ``out``; return the checkpoint's folder.

    start_from  a checkpoint whose weights a new run begins with

    Raises ConfigError when ``out`` holds a run of other settings.
    """
    process = processes.start(device)
    try:
        return _Run(settings, out, process, start_from).go()
    finally:
        processes.stop(process)


class _Run:
    """The state of one run in one process."""

    def __init__(self, settings: TrainSettings, out: Path, process: Process,
                 start_from: Path | None) -> None:
        self.settings, self.out, self.process = settings, out, process
        if settings.batch % process.world:
            raise ConfigError(f'batch is {settings.batch}, expected a multiple of the '
                              f'{process.world} processes')
        spec = load_robot(settings.robot).timestep()
        self.sampler = WindowSampler(spec, settings.data, settings.seed)
        torch.manual_seed(settings.seed)
        arch = load_architecture(settings.model)
        model = Gato(arch, self.sampler.auxiliary if settings.auxiliary_weight else None)
        if start_from is not None:
            _take_weights(model, load_checkpoint(start_from).model)
        self.model = model.to(process.device)
        self.average = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.optimizer = _optimizer(self.model, settings)
        self.step = 0
        self.config = CheckpointConfig(
            arch, spec, self.model.auxiliary, window_timesteps=settings.window_timesteps,
            window_tokens=_window_tokens(self.sampler, settings),
            temperature=settings.temperature)
        self._resume()

    def go(self) -> Path:
        """Run the remaining steps."""
        settings, process = self.settings, self.process
        loss = MaskedLoss(self.model, settings.smoothing_bins, settings.history_dropout,
                          settings.auxiliary_weight).to(process.device)
        module: nn.Module = loss
        if process.world > 1:
            module = DistributedDataParallel(loss)
        log = RunLog(self.out, self.step) if process.rank == 0 else None
        if log:
            print(f'{count_parameters(self.model):,} parameters, {self.sampler.timesteps:,} '
                  f'timesteps in {len(self.sampler.episodes)} episodes, {process.device}, '
                  f'{process.world} process(es)', flush=True)
        self.model.train()
        clock, timesteps, tokens = time.perf_counter(), 0, 0
        for groups in self._batches():
            parts = self._one_step(module, groups)
            tokens += process.world * sum(g.ids.numel() for g in groups)
            timesteps += process.world * sum(
                len(g.ids) * (int(g.layout.timestep[-1]) + 1) for g in groups)
            if log and self.step % settings.log_every == 0:
                elapsed = time.perf_counter() - clock
                values = {name: float(value) for name, value in parts.items()}
                values |= {'learning_rate': self.optimizer.param_groups[0]['lr'],
                           'timesteps_per_s': timesteps / elapsed,
                           'tokens_per_s': tokens / elapsed}
                log.add(self.step, values)
                left = (settings.steps - self.step) * elapsed / settings.log_every / 60
                print(f'step {self.step}/{settings.steps} ({left:.0f} min left)  '
                      + '  '.join(f'{k} {v:.4g}' for k, v in values.items()), flush=True)
                clock, timesteps, tokens = time.perf_counter(), 0, 0
            if log and (self.step % settings.save_every == 0 or self.step == settings.steps):
                self._save()
                log.plot()
        if log:
            log.close()
        return self.out / 'checkpoint'

    def _one_step(self, module: nn.Module, groups: list[Group]) -> dict[str, Tensor]:
        settings, process = self.settings, self.process
        rate = learning_rate(self.step, settings.learning_rate, settings.warmup, settings.steps)
        for group in self.optimizer.param_groups:
            group['lr'] = rate
        torch.manual_seed(hash((settings.seed, self.step, process.rank)) % 2**63)
        with torch.autocast(process.device.type, dtype=torch.bfloat16,
                            enabled=settings.precision == 'bfloat16'):
            loss, parts = module(groups)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip)
        self.optimizer.step()
        self.step += 1
        # The average follows quickly at first, so that it is not held back by the first weights.
        decay = min(settings.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.values()),
                                 list(self.model.state_dict().values()), 1 - decay)
        return parts

    def _batches(self) -> Iterator[list[Group]]:
        """Yield the remaining steps' batches; the next ones are read while this one is used."""
        size = self.settings.batch // self.process.world

        def read(step: int) -> list[Group]:
            groups = self.sampler.batch(step, size, self.process.rank)
            return [group.to(self.process.device) for group in groups]

        with ThreadPoolExecutor(1) as reader:
            waiting = [reader.submit(read, step)
                       for step in range(self.step, min(self.step + 2, self.settings.steps))]
            for step in range(self.step, self.settings.steps):
                groups = waiting.pop(0).result()
                if step + 2 < self.settings.steps:
                    waiting.append(reader.submit(read, step + 2))
                yield groups

    def _resume(self) -> None:
        """Take up the run in the folder, or begin one."""
        settings_file, state_file = self.out / 'settings.yaml', self.out / 'state.pt'
        if settings_file.exists():
            former = from_dict(TrainSettings, read_yaml(settings_file), str(settings_file))
            if former != self.settings:
                key = next(k for k, v in to_dict(self.settings).items()
                           if v != to_dict(former)[k])
                raise ConfigError(
                    f'{self.out} holds a run with {key} = {to_dict(former)[key]}, this one has '
                    f'{to_dict(self.settings)[key]}; give another --out or the same settings')
        elif self.process.rank == 0:
            self.out.mkdir(parents=True, exist_ok=True)
            settings_file.write_text(yaml.safe_dump(to_dict(self.settings)), encoding='utf-8')
        if self.process.world > 1:
            distributed.barrier()
        if state_file.exists():
            state = torch.load(state_file, map_location=self.process.device, weights_only=True)
            self.model.load_state_dict(state['model'])
            self.optimizer.load_state_dict(state['optimizer'])
            self.average, self.step = state['average'], state['step']

    def _save(self) -> None:
        """Write the resumable state and the checkpoint; a half-written file is never seen."""
        aside = self.out / 'state.part'
        torch.save({'model': self.model.state_dict(), 'average': self.average,
                    'optimizer': self.optimizer.state_dict(), 'step': self.step}, aside)
        os.replace(aside, self.out / 'state.pt')
        provenance: dict[str, Any] = {
            'settings': to_dict(self.settings), 'step': self.step,
            'episodes': len(self.sampler.episodes), 'timesteps': self.sampler.timesteps,
            'version': gato_ros.__version__}
        config = from_dict(CheckpointConfig, {**to_dict(self.config), 'provenance': provenance},
                           'checkpoint')
        save_checkpoint(self.out / 'checkpoint', config, self.average)


def _optimizer(model: Gato, settings: TrainSettings) -> torch.optim.AdamW:
    """AdamW with the paper's betas; norms, biases and tables do not decay."""
    matrices = [p for n, p in model.named_parameters()
                if p.dim() >= 2 and 'embedding.' not in n and '_bias' not in n]
    chosen = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in chosen]
    return torch.optim.AdamW(
        [{'params': matrices, 'weight_decay': settings.weight_decay},
         {'params': others, 'weight_decay': 0.0}],
        lr=settings.learning_rate, betas=(0.9, 0.95), eps=1e-8, fused=True)


def _take_weights(model: Gato, source: Gato) -> None:
    """Copy every weight of ``source`` that fits; a new auxiliary head keeps its fresh weights."""
    mine = model.state_dict()
    found = {k: v for k, v in source.state_dict().items() if v.shape == mine[k].shape}
    missing = [k for k in mine if k not in found and not k.startswith('auxiliary_head')]
    if missing:
        raise ConfigError(f'the starting checkpoint does not fit the model: {missing[0]} has '
                          f'another shape; choose the same model')
    model.load_state_dict(found, strict=False)


def _window_tokens(sampler: WindowSampler, settings: TrainSettings) -> int:
    """Return the slots of the ring: 1024, or less where only few timesteps may be seen."""
    if settings.window_timesteps is None:
        return CAPACITY
    timestep = len(sampler.tokenizer.layout())
    room = settings.data.prompt_timesteps * timestep + 64
    return min(CAPACITY, room + settings.window_timesteps * timestep)


def main() -> None:
    """Train as one of several processes: see the module's first lines."""
    import argparse

    from gato_ros.training.settings import load_settings
    parser = argparse.ArgumentParser(description='Train under torchrun; see gato-ros train.')
    parser.add_argument('settings')
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument('--device', default='auto')
    parser.add_argument('--start-from', type=Path)
    chosen = parser.parse_args()
    train(load_settings(chosen.settings), chosen.out, chosen.device, chosen.start_from)


if __name__ == '__main__':
    main()
