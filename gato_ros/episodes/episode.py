"""One episode on disk: a safetensors file of arrays with its provenance in the header.

    image/<name>   uint8[T, H, W, 3]     observations
    tensor/<name>  float64|int64[T, n]
    action/<name>  float64|int64[T, n]   what the demonstrator would do: the label
    sent/<name>    float64|int64[T, n]   what was really sent: enters the context
    target/<name>  float32[T, n]         simulator's state, for training targets only

On disk numbers are as narrow as they fit, and pictures are packed (packing.py): packed/<name>
uint8[n] with index/<name> int64 in place of image/<name>. Files of before are read as they are. A
file is written aside, synced and renamed, so a finished episode is whole or absent.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from gato_ros.config import ConfigError, from_dict, to_dict
from gato_ros.episodes.packing import (
    LARGEST,
    can_pack,
    length_of,
    narrow,
    pack,
    spans,
    unpack,
    widen,
)
from gato_ros.files import whole
from gato_ros.spec import Observation, TimestepSpec
from gato_ros.untrusted import Refused, parse_json, plain

SUFFIX = '.safetensors'
HOLES = 'holes'  # in ``extra``: timesteps before which others are missing
PACKED, INDEX = 'packed/', 'index/'  # of pictures
NUMBERS = ('tensor', 'action', 'sent')
Source = Literal['expert', 'policy', 'teleoperation', 'random']


class EpisodeError(ValueError):
    """An episode file that cannot be read; the message names the file and what is wrong."""

    def __init__(self, sentence: str) -> None:
        """Keep what a file holds from spreading over lines, or over the whole screen."""
        super().__init__(plain(sentence))


@dataclass(frozen=True)
class EpisodeInfo:
    """What an episode holds and where it comes from.

    robot      its name; '' in a domain without one
    spec_hash  hash of the specification;  specification: the whole; None: of version 0.1
    source     who acted;  noise: of the action, share of full scale
    success    None where the domain knows scores alone
    domain     '' where it is not known: a recording of a real robot, an episode of version 0.1
    score      the return;  normalised: the same between random (0) and expert (1), if known
    """

    robot: str
    spec_hash: str
    task: str
    sentence: str
    seed: int
    source: Source
    success: bool | None
    length: int = 0
    noise: float = 0.0
    randomised: bool = False
    version: str = ''
    domain: str = ''
    specification: TimestepSpec | None = None
    score: float | None = None
    normalised: float | None = None
    extra: dict[str, Any] = field(default_factory=dict)


class EpisodeWriter:
    """Collects timesteps, then writes them once."""

    def __init__(self) -> None:
        self._rows: dict[str, list[np.ndarray]] = {}
        self.length = 0

    def add(self, observation: Observation, action: Mapping[str, np.ndarray],
            sent: Mapping[str, np.ndarray], targets: Mapping[str, np.ndarray]) -> None:
        """Append one timestep."""
        groups = (('image', observation.images), ('tensor', observation.proprioception),
                  ('action', action), ('sent', sent))
        row = {f'{group}/{name}': np.asarray(value)
               for group, values in groups for name, value in values.items()}
        row |= {f'target/{k}': np.asarray(v, dtype=np.float32) for k, v in targets.items()}
        for key, value in row.items():
            self._rows.setdefault(key, []).append(value)
        self.length += 1

    def save(self, path: Path, info: EpisodeInfo) -> None:
        """Write the file aside, sync it, then give it its name.

        Raises EpisodeError when it cannot be written.
        """
        info = dataclasses.replace(info, length=self.length)
        arrays: dict[str, np.ndarray] = {}
        room = LARGEST
        for key, rows in self._rows.items():
            array = np.stack(rows)
            group, name = key.split('/', 1)
            if group == 'image' and can_pack(array, room):
                arrays[PACKED + name], arrays[INDEX + name] = pack(array)
                room -= array.nbytes
            else:
                arrays[key] = narrow(array) if group in NUMBERS else array
        try:
            with whole(path, synced=True) as aside:
                save_file(arrays, aside, metadata={'info': json.dumps(to_dict(info))})
        except (SafetensorError, OSError) as error:
            raise EpisodeError(f'{path} cannot be written: {error}; finished episodes are kept, '
                               'so make room and give the command again') from error


def read_info(path: Path) -> EpisodeInfo:
    """Read an episode's header; EpisodeError when the file is truncated or no episode."""
    try:
        with safe_open(path, 'numpy') as handle:
            info = from_dict(EpisodeInfo, parse_json((handle.metadata() or {})['info']), str(path))
            lengths = {key: (length_of(handle.get_tensor(key)) if key.startswith(INDEX)
                             else handle.get_slice(key).get_shape()[0])
                       for key in handle.keys() if not key.startswith(PACKED)}  # noqa: SIM118
    except (SafetensorError, OSError, LookupError, Refused, ConfigError) as error:
        raise EpisodeError(f'{path} is truncated or no episode: {error}') from error
    wrong = next((key for key, length in lengths.items() if length != info.length), None)
    if wrong is not None or not lengths:
        raise EpisodeError(f'{path}: {wrong or "every array"} has {lengths.get(wrong or "", 0)} '
                           f'timesteps, the header says {info.length}')
    return info


def read_slice(path: Path, start: int, stop: int) -> dict[str, dict[str, np.ndarray]]:
    """Read timesteps [start, stop) as ``{group: {name: array}}``, touching only their bytes."""
    groups: dict[str, dict[str, np.ndarray]] = {
        'image': {}, 'tensor': {}, 'action': {}, 'sent': {}, 'target': {}}
    room = LARGEST
    try:
        with safe_open(path, 'numpy') as handle:
            for key in handle.keys():  # noqa: SIM118
                group, name = key.split('/', 1)
                if key.startswith(PACKED):
                    groups['image'][name] = _pictures(handle, name, start, stop, room)
                    room -= groups['image'][name].nbytes
                elif not key.startswith(INDEX):
                    found = handle.get_slice(key)[start:stop]
                    groups[group][name] = widen(found) if group in NUMBERS else found
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise EpisodeError(f'{path} is truncated or no episode: {error}') from error
    return groups


def _pictures(handle: Any, name: str, start: int, stop: int, room: int) -> np.ndarray:
    """Read and unpack timesteps [start, stop) of a camera, and no other bytes."""
    index, packed = handle.get_tensor(INDEX + name), handle.get_slice(PACKED + name)
    wanted, places = spans(index, start, stop, room)
    blocks = [packed[first:last].tobytes() for first, last in places]
    return unpack(index, wanted, blocks, start, stop)


def timestep(data: Mapping[str, Mapping[str, np.ndarray]], row: int
             ) -> tuple[Observation, dict[str, np.ndarray]]:
    """Return what was seen in a row of ``read_slice``'s arrays, and what was sent then."""
    image, tensor, sent = ({name: rows[row] for name, rows in data[group].items()}
                           for group in ('image', 'tensor', 'sent'))
    return Observation(image, tensor), sent


def list_episodes(folder: Path) -> list[tuple[Path, EpisodeInfo]]:
    """Return every episode below a folder, sorted by path; EpisodeError when there is none."""
    found = [(path, read_info(path)) for path in sorted(folder.rglob(f'*{SUFFIX}'))]
    if not found:
        raise EpisodeError(f'{folder} holds no episodes; write some with: gato-ros collect')
    return found
