"""Every timestep of the episodes, tokenised once, in memory-mapped columns.

A batch is then a gather of rows: while a model trains no file is opened and nothing is encoded.
The episodes stay the truth; columns that do not fit them any more are made anew.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gato_ros.episodes.episode import EpisodeInfo, read_slice
from gato_ros.files import whole
from gato_ros.spec import PATCH
from gato_ros.tokens.sequence import TimestepTokenizer

_READY = 'columns.json'


class ColumnsError(RuntimeError):
    """No room for the columns."""


@dataclass(frozen=True, eq=False)
class Columns:
    """M timesteps, episode after episode.

    ids        int32 (M, K), -1 where a patch stands; actions as they were sent
    labels     int32 (M, A), actions as they were meant
    patches    uint8 (M, P, 16, 16, 3)
    auxiliary  float32 (M, n), training-only targets; NaN: unknown
    """

    ids: Tensor
    labels: Tensor
    patches: Tensor
    auxiliary: Tensor

    @property
    def bytes(self) -> int:
        return sum(column.nbytes for column in vars(self).values())

    def to(self, device: torch.device) -> Columns:
        """Copy to a device."""
        return Columns(**{name: column.to(device) for name, column in vars(self).items()})


def tokenise(episodes: Sequence[tuple[Path, EpisodeInfo]], tokenizer: TimestepTokenizer,
             auxiliary: Mapping[str, int], folder: Path | None = None) -> Columns:
    """Return the columns of some episodes, those in ``folder`` if they are still right.

    Without a folder they are held in memory. Raises ColumnsError when the disk is full.
    """
    layout, total = tokenizer.layout(), sum(info.length for _, info in episodes)
    patches = sum(f.height * f.width for f in tokenizer.spec.images) // PATCH**2
    shapes = {'ids': ((total, len(layout)), np.int32),
              'labels': ((total, layout.actions), np.int32),
              'patches': ((total, patches, PATCH, PATCH, 3), np.uint8),
              'auxiliary': ((total, sum(auxiliary.values())), np.float32)}
    key = _fingerprint(episodes, tokenizer, auxiliary)
    if folder is None:
        arrays = {name: np.empty(*kind) for name, kind in shapes.items()}
    else:
        ready = _read(folder, key, tuple(shapes))
        if ready is not None:
            return ready
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _READY).unlink(missing_ok=True)
        arrays = {name: _reserve(folder / f'{name}.npy', *kind) for name, kind in shapes.items()}
    ends = np.cumsum([info.length for _, info in episodes])

    def fill(number: int) -> None:
        path, info = episodes[number]
        rows = slice(ends[number] - info.length, ends[number])
        data = read_slice(path, 0, info.length)
        block = tokenizer.encode(data['image'], data['tensor'], data['sent'])
        arrays['ids'][rows], arrays['patches'][rows] = block.ids, block.patches
        arrays['labels'][rows] = tokenizer.encode_action(data['action'])
        arrays['auxiliary'][rows] = np.concatenate(
            [data['target'].get(name, np.full((info.length, size), np.nan, np.float32))
             for name, size in auxiliary.items()], axis=1) if auxiliary else 0.0

    with ThreadPoolExecutor() as pool:
        for _ in pool.map(fill, range(len(episodes))):
            pass  # what went wrong in a thread is raised here
    if folder is not None:
        with whole(folder / _READY) as aside:
            aside.write_text(json.dumps(key), encoding='utf-8')
    return Columns(**{name: torch.from_numpy(array) for name, array in arrays.items()})


def _fingerprint(episodes: Sequence[tuple[Path, EpisodeInfo]], tokenizer: TimestepTokenizer,
                 auxiliary: Mapping[str, int]) -> str:
    """Return a digest of what the columns are made of."""
    stats = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path, _ in episodes]
    return hashlib.sha256(
        repr((tokenizer.spec.hash, dict(auxiliary), stats)).encode()).hexdigest()


def _read(folder: Path, key: str, names: tuple[str, ...]) -> Columns | None:
    """Return the columns in ``folder``; None when they are others, incomplete or truncated."""
    try:
        if json.loads((folder / _READY).read_text(encoding='utf-8')) != key:
            return None
        return Columns(**{name: torch.from_numpy(np.load(folder / f'{name}.npy', mmap_mode='c'))
                          for name in names})
    except (OSError, ValueError):
        return None


def _reserve(file: Path, shape: tuple[int, ...], kind: type) -> np.ndarray:
    """Map a new file whose room on the disk is taken now: else a full disk is a bus error later.

    Raises ColumnsError when there is too little.
    """
    try:
        array = np.lib.format.open_memmap(file, 'w+', kind, shape)
        with file.open('r+b') as handle:
            os.posix_fallocate(handle.fileno(), 0, file.stat().st_size)
    except OSError as error:
        file.unlink(missing_ok=True)
        raise ColumnsError(f'{file} cannot be written: {error.strerror}, expected room for '
                           f'{np.prod(shape) * np.dtype(kind).itemsize / 1e6:.0f} MB of tokenised '
                           'timesteps; make room or choose another --out') from error
    return array
