"""A checkpoint: a folder with ``model.safetensors`` and ``config.json``, never a pickle."""

from __future__ import annotations

import json
import os
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
SHIPPED = Path(__file__).resolve().parent.parent / 'assets' / 'checkpoint'
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
    provenance     data, seeds, steps, code version: for people
    """

    architecture: Architecture
    timestep: TimestepSpec
    auxiliary: dict[str, int] = field(default_factory=dict)
    window_tokens: int = CAPACITY
    window_timesteps: int | None = None
    temperature: float = 0.0
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
    """Write a checkpoint; each file is written aside and renamed, so none is ever half there."""
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f'{WEIGHTS}.part'
    save_file({name: value.detach().to('cpu', dtype).contiguous()
               for name, value in weights.items()}, aside)
    os.replace(aside, folder / WEIGHTS)
    aside = folder / f'{CONFIG}.part'
    aside.write_text(json.dumps(to_dict(config), indent=1) + '\n', encoding='utf-8')
    os.replace(aside, folder / CONFIG)


def load_checkpoint(folder: str | Path = SHIPPED, device: str = 'cpu') -> Checkpoint:
    """Read a checkpoint for inference, in float32.

    Raises CheckpointError when a file is missing, truncated, of another format, or when the
    weights do not fit the architecture that ``config.json`` states.
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
    try:
        weights = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f'{folder / WEIGHTS} is truncated or no safetensors file: '
                              f'{error}') from error
    with torch.device('meta'):
        model = Gato(config.architecture, config.auxiliary)
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
    return Checkpoint(config, model.to(device).eval().requires_grad_(False), folder)


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
