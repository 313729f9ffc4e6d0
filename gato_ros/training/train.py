"""The training loop: episodes in, a run's folder out.

    gato-ros train stack_small --out runs/stack
    torchrun --nproc-per-node 2 -m gato_ros.tools.cli train stack_small --out runs/stack

The folder holds ``settings.yaml``, ``checkpoint/`` (the weights' moving average, what the policy
loads), ``best/`` (the checkpoint that did best on validation seeds), ``state.pt`` (everything
needed to go on bit for bit; ``state/`` where processes share it), ``log.jsonl``,
``validation.jsonl``, ``tensorboard/``, ``loss.png`` and ``columns/`` (the tokenised timesteps; may
be deleted). Every random draw is a function of seed, step and part of the batch, so resuming
repeats nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, distributed, nn
from torch.distributed.checkpoint import CheckpointException
from torch.nn.parallel import DistributedDataParallel

import gato_ros
from gato_ros.config import ConfigError, from_dict, to_dict
from gato_ros.domains.registry import find_task
from gato_ros.files import whole
from gato_ros.model.architecture import load_architecture
from gato_ros.model.gato import Gato, count_parameters
from gato_ros.policy.checkpoint import (
    CheckpointConfig,
    CheckpointError,
    load_checkpoint,
    save_checkpoint,
)
from gato_ros.tokens.text import load_text
from gato_ros.training import processes
from gato_ros.training.data.group import Group
from gato_ros.training.data.mixture import Mixture
from gato_ros.training.domains import domains_of
from gato_ros.training.finetuning.low_rank import adapt, merged
from gato_ros.training.log import RunLog
from gato_ros.training.loss import MaskedLoss
from gato_ros.training.meter import Meter
from gato_ros.training.processes import Process
from gato_ros.training.schedule import learning_rate
from gato_ros.training.settings import TrainSettings, load_settings
from gato_ros.training.sharded import (
    gather,
    load_state,
    local,
    newest,
    save_state,
    shard,
)
from gato_ros.training.step import (
    NotFiniteError,
    make_optimizer,
    optimise,
    seed_of,
    take_weights,
)
from gato_ros.training.validation import Validate, Validation


class RunError(RuntimeError):
    """A run that cannot go on: its folder cannot be written or read, or its loss is not finite."""


def train(settings: TrainSettings, out: Path, device: str = 'auto',
          start_from: Path | None = None, validate: Validate | None = None) -> Path:
    """Train, or go on with the run in ``out``; return the checkpoint's folder.

    start_from  a checkpoint whose weights a new run begins with
    validate    rolls a checkpoint out every ``validate_every`` steps: the best is kept

    Raises ConfigError when ``out`` holds a run of other settings, RunError when its state is
    damaged or cannot be written, or when its loss or weights are not finite: what was saved before
    is kept.
    """
    process = processes.start(device, settings.sharded)
    try:
        return _Run(settings, out, process, start_from).go(validate)
    finally:
        processes.stop()


class _Run:
    """The state of one run in one process."""

    def __init__(self, settings: TrainSettings, out: Path, process: Process,
                 start_from: Path | None) -> None:
        self.settings, self.out, self.process = settings, out, process
        self._settings_file = out / 'settings.yaml'
        self._state = out / ('state' if settings.sharded else 'state.pt')
        self.parts = settings.parts or process.world  # of each batch
        if settings.batch % self.parts or self.parts % process.world:
            raise ConfigError(f'batch is {settings.batch} and parts {settings.parts}, expected '
                              f'multiples of the {process.world} processes')
        self._refuse_another_run()
        if process.rank > 0:
            distributed.barrier()  # the first process tokenises, the others find it done
        self.mixture = Mixture(settings.sources, settings.seed, out / 'columns')
        if process.rank == 0 and process.world > 1:
            distributed.barrier()
        self.mixture.place(process.device)
        torch.manual_seed(settings.seed)
        arch = load_architecture(settings.model)
        model = Gato(arch, self.mixture.auxiliary if settings.auxiliary_weight else None)
        names = any(source.named_fraction > 0 for source in settings.sources)
        former: CheckpointConfig | None = None
        if start_from is None and self._state.exists() and (out / 'checkpoint').exists():
            start_from = out / 'checkpoint'  # it says which domains the run began with
        if start_from is not None:
            checkpoint = load_checkpoint(start_from)
            take_weights(model, checkpoint.model)
            former = checkpoint.config
            names |= former.names_demonstrations
        if settings.low_rank:
            adapt(model, settings.low_rank)
        model.recompute = settings.recompute
        self.model = model.to(process.device)
        self.loss = MaskedLoss(self.model, settings.smoothing_bins, settings.history_dropout,
                               settings.auxiliary_weight).to(process.device)
        if settings.sharded:
            shard(self.loss, process)
        self.ema = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.optimizer = make_optimizer(self.model, settings)
        self.step = 0
        self._saved: int | None = None  # the step that the state in the folder is of
        self.config = CheckpointConfig(
            arch, domains_of(self.mixture, settings, former),
            self.model.auxiliary, names_demonstrations=names, text_model=load_text().hash)
        if settings.validate_every:
            self._require_known(settings.validate_tasks)
        self._resume()

    def go(self, validate: Validate | None) -> Path:
        """Run the remaining steps."""
        settings, process = self.settings, self.process
        module: nn.Module = self.loss
        if process.world > 1 and not settings.sharded:
            # A process whose share of a batch is text alone has no use for the patch encoder.
            module = DistributedDataParallel(
                module, find_unused_parameters=len(self.mixture.sources) > 1)
        first = process.rank == 0
        log = RunLog(self.out, self.step) if first else None
        validation = (Validation(self.out, validate)
                      if first and validate and settings.validate_every else None)
        if first:
            learning = sum(p.numel() for p in self.model.parameters() if p.requires_grad)
            print(f'{learning:,} of {count_parameters(self.model):,} parameters learn, '
                  + ', '.join(f'{source.timesteps:,} timesteps of {source.name}'
                              for source in self.mixture.sources)
                  + f', {process.device}, {process.world} process(es)', flush=True)
        self.model.train()
        meter = Meter(process, settings.dtype)
        for batches in self._batches(meter):
            with meter.step([group for groups in batches.values() for group in groups]):
                terms = self._one_step(module, batches)
            if self.step % settings.log_every == 0:
                self._report(log, meter, terms)
            at_end = self.step == settings.steps
            judged = bool(validate and settings.validate_every) and (
                self.step % settings.validate_every == 0 or at_end)
            if (first or settings.sharded) and (
                    self.step % settings.save_every == 0 or judged or at_end):
                self._save()
                if log:
                    log.plot()
            if validation and judged:
                validation.submit(self.step, self.out / 'checkpoint')
        if log:
            log.close()
        if validation:
            validation.close()
        return self.out / 'checkpoint'

    def _require_known(self, tasks: Sequence[str]) -> None:
        """Raise ConfigError now where the first validation would find no domain for a task."""
        for reference in tasks:
            domain, task = find_task(reference)
            try:
                self.config.name_of(domain.source(task), domain.specification(task))
            except CheckpointError as error:
                raise ConfigError(f'validate_tasks holds {reference!r}, but {error}') from error

    def _report(self, log: RunLog | None, meter: Meter, terms: list[dict[str, Tensor]]) -> None:
        """Write down the means over all parts of the batch; every process calls it."""
        seconds, speed = meter.read()
        mine = [{name: float(value) for name, value in its.items()} for its in terms]
        found = [mine]
        if self.process.world > 1:
            found = [mine] * self.process.world
            distributed.all_gather_object(found, mine)
        if log is None:
            return
        of_name: dict[str, list[float]] = {}
        for its in chain.from_iterable(found):
            for name, value in its.items():
                of_name.setdefault(name, []).append(value)
        values = {name: sum(some) / len(some) for name, some in of_name.items()}
        values |= {'learning_rate': self.optimizer.param_groups[0]['lr'], **speed}
        log.add(self.step, values)
        left = (self.settings.steps - self.step) * seconds / 60
        print(f'step {self.step}/{self.settings.steps} ({left:.0f} min left)  '
              + '  '.join(f'{k} {v:.4g}' for k, v in values.items()), flush=True)

    def _one_step(self, module: nn.Module, batches: dict[int, list[Group]]
                  ) -> list[dict[str, Tensor]]:
        settings, process = self.settings, self.process
        rate = learning_rate(self.step, settings.learning_rate, settings.warmup, settings.steps)
        for group in self.optimizer.param_groups:
            group['lr'] = rate
        try:
            terms = optimise(module, batches, self.optimizer, settings, process.device)
        except NotFiniteError as error:
            raise self._diverged(str(error)) from error
        self.step += 1
        # It follows quickly at first, so that it is not held back by the first weights.
        decay = min(settings.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_([local(value) for value in self.ema.values()],
                                 [local(value) for value in self.model.state_dict().values()],
                                 1 - decay)
        return terms

    def _batches(self, meter: Meter) -> Iterator[dict[int, list[Group]]]:
        """Yield this process's parts of the remaining steps' batches, each with its seed.

        The next ones are read while this one is used.
        """
        seed, rank = self.settings.seed, self.process.rank
        size, mine = self.settings.batch // self.parts, self.parts // self.process.world

        def read(step: int) -> dict[int, list[Group]]:
            return {seed_of(seed, step, part): [
                group.to(self.process.device) for group in self.mixture.batch(step, size, part)]
                for part in range(rank * mine, (rank + 1) * mine)}

        with ThreadPoolExecutor(1) as reader:
            waiting = [reader.submit(read, step)
                       for step in range(self.step, min(self.step + 2, self.settings.steps))]
            for step in range(self.step, self.settings.steps):
                with meter.waiting():
                    groups = waiting.pop(0).result()
                if step + 2 < self.settings.steps:
                    waiting.append(reader.submit(read, step + 2))
                yield groups

    def _refuse_another_run(self) -> None:
        """Raise ConfigError when the folder holds a run of other settings."""
        if not self._settings_file.exists():
            return
        former, mine = to_dict(load_settings(self._settings_file)), to_dict(self.settings)
        differ = _first_difference(former, mine)
        if differ:
            key, theirs, ours = differ
            raise ConfigError(f'{self.out} holds a run with {key} = {theirs}, this one has '
                              f'{ours}; give another --out or the same settings')

    def _resume(self) -> None:
        """Take up the run in the folder, or begin one."""
        if self.process.rank == 0 and not self._settings_file.exists():
            self.out.mkdir(parents=True, exist_ok=True)
            self._settings_file.write_text(yaml.safe_dump(to_dict(self.settings)),
                                           encoding='utf-8')
        if self.process.world > 1:
            distributed.barrier()
        if self.settings.sharded:
            self._resume_sharded()
        elif self._state.exists():
            state = self._read_state(self._state)
            self.model.load_state_dict(state['model'])
            self.optimizer.load_state_dict(state['optimizer'])
            self.ema, self.step = state['average'], state['step']
            self._saved = self.step

    def _resume_sharded(self) -> None:
        place = newest(self._state)
        if place is None:
            return
        try:
            self.step = load_state(place, self.model, self.ema, self.optimizer)
        except (Exception, CheckpointException) as error:  # the latter is none of the former
            raise self._damaged(place, str(error).strip().splitlines()[-1]) from error
        self._saved = self.step

    def _damaged(self, place: Path, said: str) -> RunError:
        return RunError(f'{place} is damaged ({said}), expected the state of a run; begin another '
                        f'with --start-from {self.out}/checkpoint')

    def _read_state(self, file: Path) -> dict[str, Any]:
        try:
            return torch.load(file, map_location=self.process.device, weights_only=True)
        except Exception as error:  # torch has no error of its own for a file that it cannot read
            raise self._damaged(file, str(error).splitlines()[0]) from error

    def _save(self) -> None:
        """Write the resumable state and the checkpoint; a half-written file is never seen.

        Of a sharded run every process calls it.
        """
        state, first = self._state, self.process.rank == 0
        broken = torch.zeros((), device=self.process.device)
        if not all(local(value).isfinite().all() for values in (self.model.state_dict(), self.ema)
                   for value in values.values()):
            broken += 1
        if self.settings.sharded:
            distributed.all_reduce(broken)
        if broken:
            raise self._diverged('a weight is not finite')
        try:
            if self.settings.sharded:
                save_state(state, self.step, self.model, self.ema, self.optimizer)
            else:
                with whole(state) as aside:
                    torch.save({'model': self.model.state_dict(), 'average': self.ema,
                                'optimizer': self.optimizer.state_dict(), 'step': self.step},
                               aside)
        except (RuntimeError, OSError, CheckpointException) as error:  # torch does not say: full
            raise RunError(f'{state} cannot be written at step {self.step}, is the disk full? The '
                           'state saved before is kept: make room and give the command again'
                           ) from error
        provenance: dict[str, Any] = {
            'settings': to_dict(self.settings), 'step': self.step,
            'timesteps': {source.name: source.timesteps for source in self.mixture.sources},
            'version': gato_ros.__version__}
        config = from_dict(CheckpointConfig, {**to_dict(self.config), 'provenance': provenance},
                           'checkpoint')
        average = gather(self.ema, first) if self.settings.sharded else self.ema
        if first:
            save_checkpoint(self.out / 'checkpoint', config, merged(average))
        self._saved = self.step

    def _diverged(self, what: str) -> RunError:
        kept = (f'the state and checkpoint of step {self._saved} in {self.out} are kept'
                if self._saved is not None else 'nothing had been saved yet')
        return RunError(f'training stopped at step {self.step}: {what}, learning rate '
                        f'{self.optimizer.param_groups[0]["lr"]:.3g}; {kept}; begin another run '
                        'with a lower learning_rate, or look at the data of that source')


def _first_difference(one: Any, other: Any, key: str = '') -> tuple[str, Any, Any] | None:
    """Return where two settings differ, such as ``mixture[1].weight``, and both values there."""
    if isinstance(one, dict) and isinstance(other, dict):
        pairs = [(f'{key}.{name}'.lstrip('.'), one.get(name), other.get(name))
                 for name in {**one, **other}]
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = [(f'{key}[{i}]', *both) for i, both in enumerate(zip(one, other, strict=True))]
    elif key == 'mixture' and one and other:
        return key, f'{len(one)} sources', f'{len(other)} sources'
    else:
        return None if one == other else (key, one, other)
    found = (_first_difference(theirs, ours, name) for name, theirs, ours in pairs)
    return next((differ for differ in found if differ), None)
