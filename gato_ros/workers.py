"""Jobs in processes beside this one: a worker that dies is an error, never a wait without end."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

J = TypeVar('J')
R = TypeVar('R')


class WorkerError(RuntimeError):
    """A worker process died, for want of memory perhaps."""


class Overdue(RuntimeError):
    """What took longer than it may."""


GRACE_S = 60.0  # for a call of a library to come back, before its process is ended


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise Overdue in the block where it takes longer; in a process's main thread alone.

    A block that does not even come back to Python ends the process, which is a WorkerError.
    """
    def stop(number: int, frame: object) -> None:
        raise Overdue(f'it took longer than {seconds:g} s')
    former = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    faulthandler.dump_traceback_later(seconds + GRACE_S, exit=True)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, former)


def run_jobs(work: Callable[[J], R], jobs: Iterable[J], workers: int,
             start: Callable[..., None], arguments: tuple[Any, ...]) -> Iterator[R]:
    """Yield ``work(job)`` of every job, as they end.

    workers  processes; 0: one per core that this process may use
    start    called in each of them first, with ``arguments``

    Raises WorkerError when one dies, and what ``work`` raises; jobs not begun are given up then.
    """
    jobs = list(jobs)
    if not jobs:
        return
    workers = min(workers or len(os.sched_getaffinity(0)), len(jobs))
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context('spawn'), _start,
                               (start, arguments))
    try:
        for done in as_completed([pool.submit(work, job) for job in jobs]):
            yield done.result()
    except BrokenProcessPool as error:
        raise WorkerError('a worker process died, perhaps for want of memory') from error
    finally:
        pool.shutdown(cancel_futures=True)


class Processes:
    """Processes of this machine for jobs; ``cluster.Nodes`` are those of many.

    size  how many
    """

    def __init__(self, count: int) -> None:
        self.size = count or len(os.sched_getaffinity(0))

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        """Give everything back."""

    def run(self, work: Callable[[J], R], jobs: Iterable[J], start: Callable[..., None],
            arguments: tuple[Any, ...]) -> Iterator[R]:
        """Yield ``work(job)`` of every job, as ``run_jobs`` does."""
        return run_jobs(work, jobs, self.size, start, arguments)


moved: dict[Path, Path] = {}  # in a process of another machine: a path there -> where it is here


def here(path: Path) -> Path:
    """Return where a file or folder that the jobs' settings name lies in this process."""
    return moved.get(path, path)


def _start(start: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which says so once
    threading.Thread(target=_end_with_parent, daemon=True).start()
    start(*arguments)


def _end_with_parent() -> None:
    """End this process when the one that gives the jobs is gone, even by kill -9."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    with suppress(OSError):
        parent.join()
    os._exit(1)
