"""One HDF5 file of a stranger: arrays that lie in the file itself, within budgets.

HDF5 can name other files (external links and storage, virtual arrays), go in circles (soft links)
and claim sizes that nothing stands behind. All of that is refused before anything is read. And its
library can be brought to a stop or to a crash by damaged bytes, so another process goes first.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import resource
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from gato_ros.episodes.recordings.mcap_file import BagError
from gato_ros.untrusted import MIB, Refused, brief, open_file

LARGEST, RATIO = 256 * MIB, 400  # bytes of an array: at least, and of the file's size
CHUNK = 64 * MIB  # bytes that are unpacked at once
NAMES = 10_000  # in a group
ROWS = 64  # frames at a time
SECONDS, SECONDS_MIB = 10.0, 1.0  # for the first process: at least, and for each MiB
MEMORY = 4 << 30  # bytes of addresses that it may take


class Hdf5:
    """A file that is open for reading; BagError for whatever is wrong with it."""

    def __init__(self, file: Path) -> None:
        self.file = file
        with self._reading():
            self._stream = open_file(file)
            _go_first(file, os.fstat(self._stream.fileno()).st_size)
            self._limit = max(LARGEST, RATIO * os.fstat(self._stream.fileno()).st_size)
            self._data = h5py.File(self._stream, 'r')

    def __enter__(self) -> Hdf5:
        return self

    def __exit__(self, *_: object) -> None:
        self._data.close()
        self._stream.close()

    def names(self, place: str) -> list[str]:
        """Return what a group holds."""
        with self._reading():
            group = self._member(place)
            if not isinstance(group, h5py.Group) or len(group) > NAMES:
                raise Refused(f'{place} is {_what(group)}, expected a group of at most {NAMES}')
            if not all(isinstance(name, str) for name in group):
                raise Refused(f'{place} has names that are no text')
            return list(group)

    def has(self, place: str) -> bool:
        """Whether something is there, be it by a link that will be refused."""
        found: Any = self._data
        with self._reading():
            for name in place.split('/'):
                link = found.get(name, getlink=True) if isinstance(found, h5py.Group) else None
                if not isinstance(link, h5py.HardLink):
                    return link is not None
                found = found[name]
        return True

    def attribute(self, place: str, name: str) -> str:
        """Return a text beside a group, '' where there is none."""
        with self._reading():
            about = self._member(place).attrs
            if name not in about:
                return ''
            if about.get_id(name).get_storage_size() > MIB:
                raise Refused(f'attribute {name} is larger than {MIB} bytes')
            value = about[name]
        return value if isinstance(value, str) else ''

    def array(self, place: str, dimensions: int) -> Any:
        """Return an array of numbers, of which nothing is read yet."""
        with self._reading():
            found = self._member(place)
            if not isinstance(found, h5py.Dataset) or found.ndim != dimensions:
                raise Refused(f'{place} is {_what(found)}, expected an array of {dimensions} '
                              'dimensions')
            if found.external or found.is_virtual:
                raise Refused(f'{place} is stored in another file, expected it in this one')
            if found.dtype.kind not in 'iufb':
                raise Refused(f'{place} holds {brief(found.dtype)}, expected numbers')
            size = math.prod(found.shape) * found.dtype.itemsize
            at_once = math.prod(found.chunks or ()) * found.dtype.itemsize
            if size > self._limit or at_once > CHUNK:
                raise Refused(f'{place} has {max(size, at_once)} bytes, expected at most '
                              f'{self._limit} and {CHUNK} in a chunk')
            return found

    def rows(self, found: Any, start: int, stop: int) -> np.ndarray:
        """Read rows [start, stop) of an array."""
        with self._reading():
            return np.asarray(found[start:stop])

    def blocks(self, found: Mapping[str, Any]) -> Iterator[dict[str, np.ndarray]]:
        """Yield the rows of arrays of one length, a few at a time."""
        for start in range(0, len(next(iter(found.values()))), ROWS):
            yield {name: self.rows(values, start, start + ROWS) for name, values in found.items()}

    def _member(self, place: str) -> Any:
        """Return what lies at a place in the file itself."""
        found: Any = self._data
        for name in place.split('/'):
            link = found.get(name, getlink=True) if isinstance(found, h5py.Group) else None
            if link is None:
                raise Refused(f'it has no {place!r}')
            if not isinstance(link, h5py.HardLink):
                raise Refused(f'{place!r} is a link, expected it in the file itself')
            found = found[name]
        return found

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Whatever a file can be wrong in becomes a BagError; only the library stands inside."""
        try:
            yield
        except BagError:
            raise
        except (OSError, KeyError, ValueError, TypeError, RuntimeError, OverflowError,
                MemoryError) as error:
            raise BagError(f'{self.file} cannot be read as a robomimic file '
                           f'({brief(str(error))[1:-1]})') from error


def _what(found: Any) -> str:
    return (f'a group of {len(found)}' if isinstance(found, h5py.Group) else
            f'an array of shape {found.shape}' if isinstance(found, h5py.Dataset) else
            'nothing of use')


def _go_first(file: Path, size: int) -> None:
    """Let another process read the file; BagError when that does not come to an end."""
    first = multiprocessing.get_context('fork').Process(target=_read_all, args=(file,))
    first.start()
    first.join(SECONDS + SECONDS_MIB * size / MIB)
    ended = first.exitcode
    first.kill()
    first.join()
    if ended:
        raise BagError(f'{file} cannot be read as a robomimic file (reading it ends a process '
                       f'with {ended})')
    if ended is None:
        raise BagError(f'{file} cannot be read as a robomimic file (reading it does not come to '
                       'an end)')


def _read_all(file: Path) -> None:
    """Read what an import may read; what raises an error here raises it there, too."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limit, seen = max(LARGEST, RATIO * file.stat().st_size), set[int]()
    with suppress(Exception), h5py.File(file, 'r') as data:
        rest: list[Any] = [data]
        while rest:
            found = rest.pop()
            with suppress(Exception):
                if hash(found.id) in seen:
                    continue
                seen.add(hash(found.id))
                if isinstance(found, h5py.Group):
                    if 'env_args' in found.attrs:
                        str(found.attrs['env_args'])
                    rest += [found[name] for name in list(found)[:NAMES]
                             if isinstance(found.get(name, getlink=True), h5py.HardLink)]
                elif not (found.external or found.is_virtual) and (
                        math.prod(found.shape) * found.dtype.itemsize <= limit):
                    for start in range(0, len(found), ROWS):
                        found[start:start + ROWS]

