"""How much memory can be taken on this machine, before Linux kills a process for taking it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


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
