"""A checkpoint: a folder with ``model.safetensors`` and ``config.json``, never a pickle.

Of the table's rows that are reserved for text the file holds those that the text model has words
for: no other is ever read, scored or sampled.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from gato_ros.config import ConfigError, from_dict, to_dict
from gato_ros.files import whole
from gato_ros.model.architecture import Architecture
from gato_ros.model.gato import Gato
from gato_ros.policy.memory import available_memory
from gato_ros.spec import TimestepSpec
from gato_ros.tokens import vocab
from gato_ros.tokens.context import CAPACITY
from gato_ros.tokens.text import load_text

FORMAT = 2  # what is written; 1 is read, too
LARGEST_WINDOW = 2**16  # tokens or timesteps: more is a mistake, no memory would hold the ring
HOTTEST = 100.0  # beyond it, all tokens are as good as equally likely
ASSETS = Path(__file__).resolve().parent.parent / 'assets'
SHIPPED = ASSETS / 'checkpoint'  # red on blue, the surest
ANY_PAIR = ASSETS / 'any_pair'  # which block goes where is in the prompt
FIVE_PAIRS = ASSETS / 'five_pairs'  # all pairs but blue on green, to be taught that
GENERALIST = ASSETS / 'generalist'  # every domain at once
WEIGHTS, CONFIG = 'model.safetensors', 'config.json'
TABLE = 'embedding.table.weight'


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message says which part and what was expected."""


@dataclass(frozen=True)
class DomainConfig:
    """One domain that the weights know; a robot is one, too.

    timestep       the specification that its tokens follow
    window_tokens  slots of the context window
    window_timesteps  largest number of visible timesteps, null: all that fit
    temperature    of the action tokens; 0 takes the likeliest
    tasks, sentences  what it was trained on, and in which words
    wordings       the domain in which the weights say what other words mean; '': they cannot
    """

    timestep: TimestepSpec
    window_tokens: int = CAPACITY
    window_timesteps: int | None = None
    temperature: float = 0.0
    tasks: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()
    wordings: str = ''

    def __post_init__(self) -> None:
        for name in ('window_tokens', 'window_timesteps'):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= LARGEST_WINDOW:
                raise ConfigError(f'{name} is {value}, expected 1 to {LARGEST_WINDOW}')
        if not 0 <= self.temperature <= HOTTEST:  # false for NaN, too
            raise ConfigError(f'temperature is {self.temperature}, expected 0 to {HOTTEST:g}')

    def visible(self, asked: int | None) -> int | None:
        """Return how many timesteps are visible where ``asked`` are asked for; None: all that fit.

        Raises CheckpointError for more than the checkpoint sees.
        """
        most = self.window_timesteps or LARGEST_WINDOW
        if asked is not None and not 1 <= asked <= most:
            raise CheckpointError(
                f'a window of {asked} timesteps was asked for, expected 1 to {most}: more this '
                'checkpoint has not learnt to see (window_timesteps in its training file)')
        return self.window_timesteps if asked is None else asked


@dataclass(frozen=True)
class CheckpointConfig:
    """What ``config.json`` holds.

    domains        what the weights know, by name, in the order in which they came to know it
    auxiliary      training-only targets that the weights have a head for: name -> size
    names_demonstrations  whether it has learnt to say in words what a demonstration shows
    text_model     hash of the text model that it was trained with; '' is not checked
    provenance     data, seeds, steps, code version: for people
    """

    architecture: Architecture
    domains: dict[str, DomainConfig]
    auxiliary: dict[str, int] = field(default_factory=dict)
    names_demonstrations: bool = False
    text_model: str = ''
    provenance: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    def __post_init__(self) -> None:
        if not self.domains:
            raise ConfigError('domains is empty, expected at least one')
        for name, domain in self.domains.items():
            if domain.wordings and domain.wordings not in self.domains:
                raise ConfigError(f'wordings of the domain {name!r} is {domain.wordings!r}, '
                                  f'expected one of {", ".join(self.domains)}')

    def domain(self, wanted: str | TimestepSpec) -> DomainConfig:
        """Return a domain by its name, or by exactly its specification: the last that has it.

        Raises CheckpointError for a name that is not there, and for another specification: it
        names the first field that differs from the domain that is most like it.
        """
        known = ', '.join(self.domains)
        if isinstance(wanted, str):
            if wanted not in self.domains:
                raise CheckpointError(f'the checkpoint has no domain {wanted!r}, expected one of '
                                      f'those that it was trained on: {known}')
            return self.domains[wanted]
        differ = {}
        for name, domain in reversed(self.domains.items()):
            if domain.timestep == wanted:
                return domain
            differ[name] = _differences(domain.timestep, wanted)
        nearest = min(differ, key=lambda name: len(differ[name]))
        key, theirs, ours = differ[nearest][0]
        raise CheckpointError(
            f'the checkpoint ({self.domains[nearest].timestep.hash}) and the robot '
            f'({wanted.hash}) differ: {key} is {theirs} in the checkpoint and {ours} in the '
            f"robot's YAML" + (f' (in {nearest!r}, the nearest of its domains: {known})'
                               if len(differ) > 1 else ''))

    def name_of(self, name: str, timestep: TimestepSpec) -> str:
        """Return the name of the domain with this specification: ``name``, where that has it.

        Raises CheckpointError as ``domain`` does where none has it.
        """
        same = [other for other, domain in self.domains.items() if domain.timestep == timestep]
        if not same:
            self.domain(timestep if name in self.domains else name)  # says what is wrong
        return name if name in same else same[-1]


@dataclass(frozen=True)
class _Format1:
    """What ``config.json`` held when a checkpoint knew one domain."""

    architecture: Architecture
    timestep: TimestepSpec
    auxiliary: dict[str, int] = field(default_factory=dict)
    window_tokens: int = CAPACITY
    window_timesteps: int | None = None
    temperature: float = 0.0
    names_demonstrations: bool = False
    provenance: dict[str, Any] = field(default_factory=dict)
    format: int = 1

    def convert(self) -> CheckpointConfig:
        """Return the same in today's format; it does not say which text model it was."""
        said = (self.provenance.get(key) for key in ('tasks', 'sentences'))
        tasks, sentences = (tuple(map(str, words)) if isinstance(words, list) else ()
                            for words in said)
        domain = DomainConfig(self.timestep, self.window_tokens, self.window_timesteps,
                              self.temperature, tasks, sentences)
        return CheckpointConfig(self.architecture, {'stacking': domain}, self.auxiliary,
                                self.names_demonstrations, provenance=self.provenance)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Weights in a model that is ready to answer, and the configuration beside them."""

    config: CheckpointConfig
    model: Gato
    folder: Path

    @cached_property
    def hash(self) -> str:
        """As :func:`checkpoint_hash` says of the folder."""
        return checkpoint_hash(self.folder)


def save_checkpoint(folder: Path, config: CheckpointConfig, weights: dict[str, torch.Tensor],
                    dtype: torch.dtype = torch.float32) -> None:
    """Write a checkpoint; each file is written aside and renamed, so none is ever half there.

    Raises CheckpointError when it cannot be written.
    """
    tensors = {name: value.detach().to('cpu', dtype).contiguous()
               for name, value in weights.items()}
    if TABLE in tensors:
        tensors[TABLE] = _without_unused_rows(tensors[TABLE])
    text = json.dumps(to_dict(config), indent=1) + '\n'
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with whole(folder / WEIGHTS) as aside:
            save_file(tensors, aside)
        with whole(folder / CONFIG) as aside:
            aside.write_text(text, encoding='utf-8')
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f'{folder} cannot be written: {error}; the checkpoint that was '
                              'there is kept, so make room and give the command again') from error


def load_checkpoint(folder: str | Path = SHIPPED, device: str = 'cpu') -> Checkpoint:
    """Read a checkpoint for inference, in float32.

    Raises CheckpointError when a file is missing, truncated, of another format or text model, when
    the weights do not fit the architecture that ``config.json`` states, or do not fit into memory.
    """
    folder = Path(folder)
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise CheckpointError(f'{folder} is no checkpoint: {name} is missing')
    config = _read_config(folder / CONFIG)
    with torch.device('meta'):
        model = Gato(config.architecture, config.auxiliary)
    _require_memory(folder, 4 * sum(v.numel() for v in model.state_dict().values()))
    try:
        weights = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f'{folder / WEIGHTS} is truncated or no safetensors file: '
                              f'{error}') from error
    if TABLE in weights:
        weights[TABLE] = _with_unused_rows(weights[TABLE], folder)
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in weights.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise CheckpointError(
                f'{folder / WEIGHTS}: {name} has shape {found.get(name, "none")}, expected '
                f'{expected.get(name, "none")} by the architecture in {CONFIG}')
    bad = next((n for n, value in weights.items() if not torch.isfinite(value).all()), None)
    if bad is not None:
        raise CheckpointError(f'{folder / WEIGHTS}: {bad} holds values that are not finite')
    model.load_state_dict({n: v.float() for n, v in weights.items()}, assign=True)
    try:
        model = model.to(device)
    except (RuntimeError, AssertionError) as error:  # no such device, or too little memory on it
        raise CheckpointError(f'device {device!r} cannot take the model: '
                              f'{str(error).splitlines()[0]}') from error
    return Checkpoint(config, model.eval().requires_grad_(False), folder)


def checkpoint_hash(folder: str | Path = SHIPPED) -> str:
    """Return twelve digits that change with any byte of a checkpoint's files."""
    total = hashlib.sha256()
    for name in (CONFIG, WEIGHTS):
        total.update(hashlib.sha256((Path(folder) / name).read_bytes()).digest())
    return total.hexdigest()[:12]


def _read_config(file: Path) -> CheckpointConfig:
    """Read either format; refuse the weights of another text model."""
    try:
        data = json.loads(file.read_text(encoding='utf-8'))
        number = data.get('format', 1) if isinstance(data, dict) else FORMAT
        if number not in (1, FORMAT):
            raise ConfigError(f'format is {number!r}, expected 1 or {FORMAT}')
        config = (from_dict(_Format1, data, CONFIG).convert() if number == 1
                  else from_dict(CheckpointConfig, data, CONFIG))
    except (ValueError, OSError, RecursionError) as error:
        raise CheckpointError(f'{file} is not usable: {error}') from error
    if config.text_model and config.text_model != (here := load_text().hash):
        raise CheckpointError(f'{file.parent} was trained with the text model '
                              f'{config.text_model}, this package has {here}, in which its tokens '
                              'are other words; take the package that it was trained with')
    return config


def _without_unused_rows(table: torch.Tensor) -> torch.Tensor:
    """Return a table (V, D) without the rows between the last piece of text and the bins."""
    used = max(load_text().size, vocab.DISCRETE[1])
    return torch.cat([table[:used], table[vocab.TEXT[1]:]])


def _with_unused_rows(table: torch.Tensor, folder: Path) -> torch.Tensor:
    """Return a stored table (n, D) as (V, D), zero where it has no rows; any other as it is.

    Raises CheckpointError where words of this package's text model would have none.
    """
    used = table.shape[0] - (vocab.SIZE - vocab.TEXT[1]) if table.dim() == 2 else vocab.SIZE
    if not vocab.DISCRETE[1] <= used < vocab.TEXT[1]:
        return table
    pieces = load_text().size
    if used < pieces:
        raise CheckpointError(f'{folder / WEIGHTS}: {TABLE} has rows for {used} pieces of text, '
                              f'expected {pieces}: it was trained with another text model')
    unused = table.new_zeros((vocab.TEXT[1] - used, table.shape[1]))
    return torch.cat([table[:used], unused, table[used:]])


def _require_memory(folder: Path, needed: int) -> None:
    """Refuse what Linux would promise memory for and then kill the process over."""
    free = available_memory()
    if needed > free:
        raise CheckpointError(f'{folder} needs {needed / 2**30:.1f} GiB of memory as float32 and '
                              f'{free / 2**30:.1f} GiB are free; take a smaller checkpoint')


def _differences(theirs: TimestepSpec, ours: TimestepSpec) -> list[tuple[str, Any, Any]]:
    """Return every field that differs: its path, and the value on both sides."""
    one, other = _flat(to_dict(theirs)), _flat(to_dict(ours))
    return [(key, one.get(key, 'absent'), other.get(key, 'absent'))
            for key in dict.fromkeys([*other, *one]) if one.get(key) != other.get(key)]


def _flat(value: Any, key: str = 'timestep') -> dict[str, Any]:
    """Return leaves by their path, such as ``timestep.images[0].height``."""
    if isinstance(value, dict):
        items = [(f'{key}.{name}', item) for name, item in value.items()]
    elif isinstance(value, list):
        items = [(f'{key}[{i}]', item) for i, item in enumerate(value)]
    else:
        return {key: value}
    return {path: leaf for name, item in items for path, leaf in _flat(item, name).items()}
