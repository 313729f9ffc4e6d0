"""A checkpoint: a folder with ``model.safetensors`` and ``config.json``, never a pickle."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from gato_ros.config import ConfigError, from_dict, to_dict
from gato_ros.model.architecture import Architecture
from gato_ros.model.gato import Gato
from gato_ros.spec import TimestepSpec
from gato_ros.tokens.context import CAPACITY

FORMAT = 1
ASSETS = Path(__file__).resolve().parent.parent / 'assets'
SHIPPED = ASSETS / 'checkpoint'  # red on blue, the surest
ANY_PAIR = ASSETS / 'any_pair'  # which block goes where is in the prompt
FIVE_PAIRS = ASSETS / 'five_pairs'  # all pairs but blue on green, to be taught that
WEIGHTS, CONFIG = 'model.safetensors', 'config.json'


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message says which part and what was expected."""


@dataclass(frozen=True)
class CheckpointConfig:
    """What ``config.json`` holds.

    timestep       the specification that the tokens follow
    auxiliary      training-only targets that the weights have a head for: name -> size
    window_tokens  slots of the context window
    window_timesteps  largest number of visible timesteps, null: all that fit
    temperature    of the action tokens; 0 takes the likeliest
    names_demonstrations  whether it has learnt to say in words what a demonstration shows
    provenance     data, seeds, steps, code version: for people
    """

    architecture: Architecture
    timestep: TimestepSpec
    auxiliary: dict[str, int] = field(default_factory=dict)
    window_tokens: int = CAPACITY
    window_timesteps: int | None = None
    temperature: float = 0.0
    names_demonstrations: bool = False
    provenance: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Weights in a model that is ready to answer, and the configuration beside them."""

    config: CheckpointConfig
    model: Gato
    folder: Path


def save_checkpoint(folder: Path, config: CheckpointConfig, weights: dict[str, torch.Tensor],
                    dtype: torch.dtype = torch.float32) -> None:
    """Write a checkpoint; each file is written aside and renamed, so none is ever half there.

    Raises CheckpointError when it cannot be written.
    """
    tensors = {name: value.detach().to('cpu', dtype).contiguous()
               for name, value in weights.items()}
    text = json.dumps(to_dict(config), indent=1) + '\n'
    aside = folder / f'{WEIGHTS}.part'
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(tensors, aside)
        os.replace(aside, folder / WEIGHTS)
        aside = folder / f'{CONFIG}.part'
        aside.write_text(text, encoding='utf-8')
        os.replace(aside, folder / CONFIG)
    except (SafetensorError, OSError) as error:
        aside.unlink(missing_ok=True)
        raise CheckpointError(f'{folder} cannot be written: {error}; the checkpoint that was '
                              'there is kept, so make room and give the command again') from error


def load_checkpoint(folder: str | Path = SHIPPED, device: str = 'cpu') -> Checkpoint:
    """Read a checkpoint for inference, in float32.

    Raises CheckpointError when a file is missing, truncated, of another format, when the weights
    do not fit the architecture that ``config.json`` states, or do not fit into memory.
    """
    folder = Path(folder)
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise CheckpointError(f'{folder} is no checkpoint: {name} is missing')
    try:
        data = json.loads((folder / CONFIG).read_text(encoding='utf-8'))
        config = from_dict(CheckpointConfig, data, str(folder / CONFIG))
    except (ConfigError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f'{folder / CONFIG} is not usable: {error}') from error
    if config.format != FORMAT:
        raise CheckpointError(f'{folder / CONFIG}: format is {config.format}, expected {FORMAT}')
    with torch.device('meta'):
        model = Gato(config.architecture, config.auxiliary)
    _require_memory(folder, 4 * sum(v.numel() for v in model.state_dict().values()))
    try:
        weights = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f'{folder / WEIGHTS} is truncated or no safetensors file: '
                              f'{error}') from error
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


def _require_memory(folder: Path, needed: int) -> None:
    """Refuse what Linux would promise memory for and then kill the process over."""
    free = available_memory()
    if needed > free:
        raise CheckpointError(f'{folder} needs {needed / 2**30:.1f} GiB of memory as float32 and '
                              f'{free / 2**30:.1f} GiB are free; take a smaller checkpoint')


def available_memory(root: Path = Path('/')) -> float:
    """Return the bytes that can be taken without pushing anything out; infinity if unknown.

    A container's limit counts, too: both versions of control groups, as a container sees them.
    """
    free = float('inf')
    with suppress(OSError, IndexError):
        text = (root / 'proc/meminfo').read_text(encoding='ascii')
        free = 1024.0 * int(text.split('MemAvailable:')[1].split()[0])
    for folder, limit, used, cached in (
            ('', 'memory.max', 'memory.current', '\ninactive_file '),
            ('memory', 'memory.limit_in_bytes', 'memory.usage_in_bytes',
             '\ntotal_inactive_file ')):
        group = root / 'sys/fs/cgroup' / folder
        with suppress(OSError, IndexError, ValueError):  # not there, or no limit
            spare = (group / 'memory.stat').read_text().split(cached)[1].split()[0]
            free = min(free, int((group / limit).read_text())
                       - int((group / used).read_text()) + float(spare))
    return free


def require_match(checkpoint: CheckpointConfig, running: TimestepSpec) -> None:
    """Refuse a checkpoint of another robot: CheckpointError names the first field that differs."""
    if checkpoint.timestep == running:
        return
    theirs, ours = _flat(to_dict(checkpoint.timestep)), _flat(to_dict(running))
    for key in [*ours, *theirs]:
        if theirs.get(key) != ours.get(key):
            raise CheckpointError(
                f'the checkpoint ({checkpoint.timestep.hash}) and the robot ({running.hash}) '
                f'differ: {key} is {theirs.get(key, "absent")} in the checkpoint and '
                f'{ours.get(key, "absent")} in the robot\'s YAML')


def _flat(value: Any, key: str = 'timestep') -> dict[str, Any]:
    """Return leaves by their path, such as ``timestep.images[0].height``."""
    if isinstance(value, dict):
        items = [(f'{key}.{name}', item) for name, item in value.items()]
    elif isinstance(value, list):
        items = [(f'{key}[{i}]', item) for i, item in enumerate(value)]
    else:
        return {key: value}
    return {path: leaf for name, item in items for path, leaf in _flat(item, name).items()}
