"""Files and folders that are there whole or not at all.

    with whole(Path('run/state.pt')) as aside:
        torch.save(state, aside)          # run/state.pt appears when the block has ended well
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ASIDE = '.aside'  # ends the name of what is not whole yet; a recorder's open file is .mcap.part


@contextmanager
def whole(path: Path, synced: bool = False) -> Iterator[Path]:
    """Yield a path beside ``path`` to write to; it takes that name when the block ends well.

    A block that fails leaves nothing aside, and what stood under the name before stays there.

    synced  as for ``rename``
    """
    aside = path.with_name(path.name + ASIDE)
    remove(aside)  # of a process that was killed
    try:
        yield aside
        rename(aside, path, synced)
    except BaseException:
        remove(aside)
        raise


def rename(aside: Path, path: Path, synced: bool = False) -> None:
    """Give a file or a folder its name, in place of what has it.

    synced  wait until the disk has the file and its name, so that a power cut cannot take it
    """
    if synced:
        sync(aside)
    if path.is_dir():
        shutil.rmtree(path)  # only an empty folder would make room by itself
    os.replace(aside, path)
    if synced:
        sync(path.parent)


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Wait until the disk has a file's contents, or a folder's names."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
