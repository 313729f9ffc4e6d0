"""The settings of a training run, as read from ``config/training/*.yaml``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
import yaml

from gato_ros.config import ConfigError, data_path, from_dict, read_yaml
from gato_ros.tokens.sequence import LOCAL_POSITIONS


@dataclass(frozen=True)
class SourceSettings:
    """One source of a mixture, and which sequences are drawn from it.

    domain             of the episodes: a name or a file;  robot: another than the domain's own
    tasks              of the domain; (): all
    folders            of episodes
    documents          instead of episodes: patterns of text files
    dialogue           instead: patterns of files with exchanges, see domains/language/exchanges.py
    pictures           instead: folders of pictures with text, see data/pictures.py
    wordings           instead: a domain, for what people say to it, see data/wordings.py
    name               in the log and in the checkpoint; '': the domain's
    weight             share of the sequences, beside the other sources' weights
    window_timesteps, temperature  at control, where they differ from the run's own
    episodes           used of each folder, the first by name that can be; 0: all
    timesteps          in a sequence, the prompt not counted
    tokens             in a sequence of documents, at most 512
    picture_size       height and width in pixels
    camera             of pictures from several cameras, the one that is shown alone; '': all
    prompt_fraction    share of sequences behind a demonstration (paper, section 2.2: 0.25)
    prompt_timesteps   in such a demonstration
    prompt_at_end      share of them that are the last timesteps of an episode (paper: half)
    sentence_fraction  share of sequences behind their task's sentence
    named_fraction     share behind a demonstration and the sentence that says what it shows: the
                       policy learns to say it, and to do what it said
    policy_weight, demonstration_weight  how many times more often windows are drawn in which a
                       policy acted; in which a person or an expert did
    auxiliary          whether the simulator's state serves as a training target
    """

    folders: tuple[str, ...] = ()
    domain: str = ''
    robot: str = ''
    tasks: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()
    dialogue: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()
    wordings: str = ''
    name: str = ''
    weight: float = 1.0
    window_timesteps: int | None = None
    temperature: float | None = None
    episodes: int = 0
    timesteps: int = 1
    tokens: int = 256
    picture_size: tuple[int, int] = (64, 64)
    camera: str = ''
    prompt_fraction: float = 0.25
    prompt_timesteps: int = 1
    prompt_at_end: float = 0.5
    sentence_fraction: float = 0.125
    named_fraction: float = 0.0
    policy_weight: int = 1
    demonstration_weight: int = 1
    auxiliary: bool = True

    def __post_init__(self) -> None:
        if self.tokens > LOCAL_POSITIONS:
            raise ConfigError(f'tokens is {self.tokens}, expected at most {LOCAL_POSITIONS}')
        said = self.documents or self.dialogue or self.wordings
        least = 3 if self.pictures else 2 if said else 1
        if self.window_timesteps is not None and self.window_timesteps < least:
            raise ConfigError(f'window_timesteps is {self.window_timesteps}, expected at least '
                              f'{least}' + (': an answer would not see what it answers; leave it '
                                            'out' if least > 1 else ''))
        given = [key for key in ('folders', 'documents', 'dialogue', 'pictures', 'wordings')
                 if getattr(self, key)]
        if len(given) > 1:
            raise ConfigError(f'{" and ".join(given)} are given, expected one of them in a source')
        if not (math.isfinite(self.weight) and self.weight > 0):
            raise ConfigError(f'weight is {self.weight}, expected a number > 0; take the source '
                              'out instead')
        for name in ('timesteps', 'prompt_timesteps', 'policy_weight', 'demonstration_weight',
                     'tokens'):
            if getattr(self, name) < 1:
                raise ConfigError(f'{name} is {getattr(self, name)}, expected at least 1')
        if self.episodes < 0:
            raise ConfigError(f'episodes is {self.episodes}, expected 0 (all) or more')
        shares = self.prompt_fraction, self.sentence_fraction, self.named_fraction
        if min(shares) < 0 or sum(shares) > 1 + 1e-9:
            raise ConfigError('prompt_fraction {}, sentence_fraction {} and named_fraction {} are '
                              'no shares of one whole'.format(*shares))
        if not 0 <= self.prompt_at_end <= 1:
            raise ConfigError(f'prompt_at_end is {self.prompt_at_end}, expected a share in [0, 1]')


@dataclass(frozen=True)
class TrainSettings:
    """How a model is trained.

    robot, data         one source, in short;  mixture: several, or a name in config/mixtures
    steps, batch        optimiser steps, sequences in each over all processes
    learning_rate       peak, after ``warmup`` steps; falls by a cosine to a tenth
    smoothing_bins      deviation of the Gaussian over neighbouring bins as target; 0: one-hot
    history_dropout     share of sequences in which timesteps see only themselves
    auxiliary_weight    of the training-only regression beside the masked loss
    ema                 decay of the weights' exponential moving average, which is what is saved
    window_timesteps    visible at control; null: all that fit in 1024 tokens. Where sequences
                        hold one timestep, it is 1: more was never seen
    low_rank            of what each matrix may change by, see low_rank.py; 0: all weights learn
    parts               of a batch, each with random draws of its own; 0: one for each process. Any
                        number of processes that divides them makes the same run
    sharded             whether weights and optimiser are split over the processes, see sharded.py
    recompute           whether a block's inner values are computed again on the way back, not
                        kept: a third more computing, for models that fill the memory
    precision           of the matrix products; auto: bfloat16 where there are units for it
    validate_every      steps between rollouts of the checkpoint; 0: none
    validate_episodes   in each of them, of ``validate_tasks`` in turn, on validation seeds
    validate_workers    processes for them, beside the training
    """

    model: str
    steps: int
    batch: int
    robot: str = ''
    data: SourceSettings | None = None
    mixture: tuple[SourceSettings, ...] = ()
    learning_rate: float = 1e-4
    warmup: int = 500
    weight_decay: float = 0.1
    clip: float = 1.0
    smoothing_bins: float = 0.0
    history_dropout: float = 0.0
    auxiliary_weight: float = 0.0
    ema: float = 0.999
    window_timesteps: int | None = None
    temperature: float = 0.0
    low_rank: int = 0
    parts: int = 0
    sharded: bool = False
    recompute: bool = False
    precision: Literal['bfloat16', 'float32', 'auto'] = 'bfloat16'
    seed: int = 0
    save_every: int = 500
    log_every: int = 20
    validate_every: int = 0
    validate_episodes: int = 24
    validate_tasks: tuple[str, ...] = ('stack_wide',)
    validate_workers: int = 1

    @property
    def dtype(self) -> torch.dtype:
        """Of the matrix products."""
        short = _has_bfloat16() if self.precision == 'auto' else self.precision == 'bfloat16'
        return torch.bfloat16 if short else torch.float32

    @property
    def autocast(self) -> bool:
        """Whether products are computed in another type than the weights have."""
        return self.dtype != torch.float32

    def __post_init__(self) -> None:
        if min(self.steps, self.batch, self.save_every, self.log_every) < 1:
            raise ConfigError('steps, batch, save_every and log_every must be at least 1')
        if self.low_rank < 0:
            raise ConfigError(f'low_rank is {self.low_rank}, expected 0 (all weights learn) or '
                              'more')
        if self.parts < 0 or (self.parts and self.batch % self.parts):
            raise ConfigError(f'parts is {self.parts}, expected a divisor of the batch, '
                              f'{self.batch}, or 0')
        if self.sharded and self.low_rank:
            raise ConfigError(f'sharded is true and low_rank {self.low_rank}, expected one of '
                              'them: few weights need no splitting')
        if bool(self.data) == bool(self.mixture):
            raise ConfigError(f'data and mixture are {"both" if self.data else "not"} given, '
                              'expected one of them: a source, or several')
        if self.mixture and self.robot:
            raise ConfigError(f'robot is {self.robot!r} beside a mixture, expected it in the '
                              "mixture's lines, each for its own")
        if self.auxiliary_weight and not any(source.auxiliary for source in self.sources):
            raise ConfigError(f'auxiliary_weight is {self.auxiliary_weight}, but auxiliary is '
                              'false in every source; set one of them')

    @property
    def sources(self) -> tuple[SourceSettings, ...]:
        """What the data is drawn from."""
        if self.data is None:
            return self.mixture
        return (replace(self.data, robot=self.data.robot or self.robot),)


def _has_bfloat16() -> bool:
    """Whether this machine multiplies in bfloat16 faster than in float32."""
    # Not every torch that we take can say what the CPU has.
    units: dict[str, bool] = getattr(torch.cpu, 'get_capabilities', dict)()
    return torch.cuda.is_available() or bool(units.get('avx512_bf16') or units.get('amx_bf16'))


def parse_changes(texts: Sequence[str]) -> dict[str, Any]:
    """Turn ``['data.timesteps=6', 'batch=64']`` into ``{'data.timesteps': 6, 'batch': 64}``."""
    changes = {}
    for text in texts:
        key, equals, value = text.partition('=')
        if not equals:
            raise ConfigError(f'--set {text!r}: expected KEY=VALUE, such as batch=64')
        changes[key] = yaml.safe_load(value)
    return changes


FORMER_NAMES = {'average': 'ema', 'rank': 'low_rank'}  # of version 0.1, still read


def load_settings(name_or_path: str | Path,
                  changes: Mapping[str, Any] | None = None) -> TrainSettings:
    """Read settings by name (``stack_small``) or path; ``changes`` override single keys.

    A key of ``data`` is written with a dot: ``{'data.timesteps': 6}``. ``mixture`` may be a name
    in config/mixtures, or a YAML file, with a list of ``sources``.
    """
    path = _find(name_or_path, 'training')
    values = read_yaml(path)
    for key, value in (changes or {}).items():
        place = values
        *parents, last = key.split('.')
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise ConfigError(f'{key} cannot be changed: {parent} is no group of settings in '
                                  f'{path}; change it there')
        place[last] = value
    for former, name in FORMER_NAMES.items():
        if former in values:
            values[name] = values.pop(former)
    if isinstance(values.get('mixture'), str):
        values['mixture'] = read_mixture(values['mixture'])
    if isinstance(values.get('mixture'), list):
        values['mixture'] = [split_recipe(line)[0] for line in values['mixture']]
    return from_dict(TrainSettings, values, str(path))


def read_mixture(name_or_path: str | Path) -> list[Any]:
    """Return the ``sources`` of a mixture's file, as they stand there."""
    path = _find(name_or_path, 'mixtures')
    values = read_yaml(path)
    if set(values) != {'sources'} or not isinstance(values['sources'], list):
        raise ConfigError(f'{path} has the keys {", ".join(map(str, values))}, expected the one '
                          'key sources with a list')
    return values['sources']


def load_sources(name_or_path: str | Path) -> tuple[SourceSettings, ...]:
    """Return a mixture's sources by its name or path."""
    return tuple(from_dict(SourceSettings, split_recipe(line)[0], f'{name_or_path}, source {n}')
                 for n, line in enumerate(read_mixture(name_or_path), 1))


def split_recipe(line: Any) -> tuple[Any, Any]:
    """Return a line of a mixture without ``collect``, and that: what makes its data, or None."""
    if not isinstance(line, dict):
        return line, None
    return {key: value for key, value in line.items() if key != 'collect'}, line.get('collect')


def _find(name_or_path: str | Path, folder: str) -> Path:
    path = Path(name_or_path)
    if path.suffix in ('.yaml', '.yml'):
        return path
    return data_path('config', folder, f'{name_or_path}.yaml')
