"""Jobs on all nodes of a Ray cluster, as workers.py runs them on this machine.

    ray start --head --port 6379              # on one machine
    ray start --address HOST:6379             # on each other one; this machine is one of them
    gato-ros collect --ray HOST:6379 ...

Every node has Ray and this package installed. Nothing else is shared: what the jobs read travels
to the nodes, and the files that a job writes come back with its result.
"""

from __future__ import annotations

import importlib.util
import shutil
import socket
import sys
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import gato_ros
from gato_ros import workers
from gato_ros.files import whole
from gato_ros.workers import J, Processes, R, WorkerError

ANSWER_S = 5.0  # that an address may take to answer
NEWS_S = 10.0  # after which nodes that have joined are looked for, though no job has ended
ATTEMPTS = 3  # at a job, each of which ended with the loss of its process
Files = dict[str, bytes]  # name below a folder -> contents


class ClusterError(RuntimeError):
    """A cluster that cannot be used; one sentence for people."""


@dataclass(frozen=True)
class Needs:
    """What jobs need of every node, and where their files belong.

    out      the files that jobs write into it come to this folder of this machine
    carried  folders that the nodes get copies of; see ``workers.here``
    same     called with ``facts`` here and on every node: names and values that must be equal
    """

    out: Path
    carried: tuple[Path, ...]
    same: Callable[..., dict[str, str]]
    facts: tuple[Any, ...]


def installed() -> bool:
    """Return whether this machine has Ray."""
    return importlib.util.find_spec('ray') is not None


def crew(address: str, count: int, needs: Needs) -> Processes:
    """Return ``count`` processes of this machine; with an address, of all nodes of its cluster.

    count  0: one for each core

    Raises ClusterError when nothing answers at the address.
    """
    return Nodes(address, count, needs) if address else Processes(count)


class Nodes(Processes):
    """Processes on the nodes of a Ray cluster, one for each core that they offer.

    Those of a node that dies are given up, and their jobs done by others; a node that joins gets
    work. Raises ClusterError when a node differs from this machine, WorkerError when no node is
    left or a job has cost ATTEMPTS processes.
    """

    def __init__(self, address: str, count: int, needs: Needs) -> None:
        self._needs, self._facts = needs, needs.same(*needs.facts)
        self._ray = _connect(address)
        self._carried = self._ray.put([_read(folder) for folder in needs.carried])
        self._known: set[str] = set()  # nodes with our version
        self._hands: dict[Any, str] = {}  # a process -> its node
        cores = sum(int(node['Resources'].get('CPU', 0)) for node in self._alive())
        self._most = count or sys.maxsize  # nodes that join bring more cores
        self.size = min(self._most, cores)
        if not self.size:
            self._ray.shutdown()
            raise ClusterError(f'the cluster at {address} offers no cores, expected one at least; '
                               'see ray status')

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._ray.shutdown()

    def run(self, work: Callable[[J], R], jobs: Iterable[J], start: Callable[..., None],
            arguments: tuple[Any, ...]) -> Iterator[R]:
        """Yield ``work(job)`` of every job, as they end; a job's files are here by then."""
        numbered = list(jobs)
        waiting, lost = deque(range(len(numbered))), Counter[int]()
        at_work: dict[Any, tuple[Any, int]] = {}  # what a process owes -> it, its job's number
        idle: deque[Any] = deque()
        failed = 0  # times that no process could be started
        try:
            while waiting or at_work:
                idle.extend(self._hire(len(waiting) - len(idle), start, arguments))
                while idle and waiting:
                    hand, number = idle.popleft(), waiting.popleft()
                    at_work[hand.work.remote(work, numbered[number])] = hand, number
                failed = 0 if at_work else failed + 1
                if failed == ATTEMPTS:
                    raise WorkerError('no node of the cluster is left that could do the work')
                done = self._ray.wait(list(at_work), timeout=NEWS_S)[0] if at_work else []
                for owed in done:
                    hand, number = at_work.pop(owed)
                    try:
                        result, files = self._ray.get(owed)
                    except self._ray.exceptions.RayTaskError:
                        raise
                    except self._ray.exceptions.RayError as error:  # its process or node is gone
                        self._hands.pop(hand)
                        self._ray.kill(hand)
                        waiting.appendleft(number)
                        lost[number] += 1
                        if lost[number] == ATTEMPTS:
                            raise WorkerError(f'{ATTEMPTS} processes of the cluster died at one '
                                              'job, perhaps for want of memory') from error
                        continue
                    if isinstance(result, _Raised):
                        raise result.error
                    _write(self._needs.out, files)
                    idle.append(hand)
                    yield result
        finally:
            self._dismiss(idle)

    def _alive(self) -> list[dict[str, Any]]:
        return [node for node in self._ray.nodes() if node['Alive']]

    def _hire(self, wanted: int, start: Callable[..., None], arguments: tuple[Any, ...]
              ) -> list[Any]:
        """Start processes where cores are free, ``wanted`` at most; return those that are ready.

        One that is lost before it is ready is tried again with the next news of the cluster.
        """
        if wanted <= 0:
            return []
        hired: list[tuple[Any, dict[str, Any]]] = []
        for node in self._alive():
            self._require_version(node)
            taken = sum(where == node['NodeID'] for where in self._hands.values())
            for _ in range(int(node['Resources'].get('CPU', 0)) - taken):
                if len(hired) < min(wanted, self._most - len(self._hands)):
                    hired.append((_hand(self._ray, node['NodeID']), node))
        ready = []
        for (hand, node), answer in zip(hired, [hand.prepare.remote(
                self._needs, self._carried, self._facts, start, arguments)
                for hand, _ in hired], strict=True):
            try:
                fault = self._ray.get(answer)
            except (self._ray.exceptions.RayActorError,
                    self._ray.exceptions.ActorUnschedulableError):
                continue
            if fault is not None:
                raise ClusterError(f'{_name(node)} {fault}')
            self._hands[hand] = node['NodeID']
            ready.append(hand)
        return ready

    def _dismiss(self, idle: Iterable[Any]) -> None:
        """End all processes; those that are idle remove their files first."""
        leaving = [hand.leave.remote() for hand in idle]
        with suppress(Exception):  # of those that are gone
            self._ray.wait(leaving, num_returns=len(leaving), timeout=ANSWER_S)
        for hand in self._hands:
            self._ray.kill(hand)
        self._hands.clear()

    def _require_version(self, node: dict[str, Any]) -> None:
        """Raise ClusterError where a node that has joined has another version of the package."""
        if node['NodeID'] in self._known:
            return

        def look() -> str:  # it travels as code, so a node with any version or none can run it
            try:
                import gato_ros
            except ImportError:
                return 'none'
            return gato_ros.__version__
        with suppress(self._ray.exceptions.RayError):  # it is gone again
            found = self._ray.get(self._ray.remote(look).options(
                num_cpus=0, scheduling_strategy=_at(node['NodeID'])).remote())
            if found != gato_ros.__version__:
                raise ClusterError(f'{_name(node)} has gato_ros {found}, expected '
                                   f'{gato_ros.__version__} as here; install it there, or take '
                                   'the node out of the cluster')
            self._known.add(node['NodeID'])


@dataclass(frozen=True)
class _Raised:
    """What a job raised: Ray would wrap it into an error of its own."""

    error: Exception


class Hand:
    """One process on a node."""

    def prepare(self, needs: Needs, carried: list[Files], facts: dict[str, str],
                start: Callable[..., None], arguments: tuple[Any, ...]) -> str | None:
        """Make ready for jobs; return what is wrong with this node, None when nothing is."""
        self._home = Path(tempfile.mkdtemp(prefix='gato_ros-'))
        self._out = self._home / 'out'
        self._out.mkdir()
        workers.moved[needs.out] = self._out
        for number, (folder, files) in enumerate(zip(needs.carried, carried, strict=True)):
            workers.moved[folder] = self._home / str(number)
            _write(workers.moved[folder], files)
        try:
            mine = needs.same(*needs.facts)
        except Exception as error:  # such as a domain that is not installed there
            return f'cannot do this: {error}'
        for name, value in facts.items():
            if mine.get(name) != value:
                return (f'differs: {name} is {mine.get(name, "missing")} there and {value} here; '
                        'install the same there, or take the node out of the cluster')
        try:
            start(*arguments)
        except Exception as error:  # such as a checkpoint that does not fit into its memory
            return f'cannot begin: {error}'
        return None

    def work(self, work: Callable[[J], R], job: J) -> tuple[R | _Raised, Files]:
        """Return what ``work`` does, and the files that it has written."""
        try:
            result = work(job)
        except Exception as error:
            return _Raised(error), {}
        files = _read(self._out)
        for name in files:
            (self._out / name).unlink()
        return result, files

    def leave(self) -> None:
        """Remove what this process has written."""
        shutil.rmtree(self._home, ignore_errors=True)


def _hand(ray: ModuleType, node: str) -> Any:
    return ray.remote(Hand).options(num_cpus=1, scheduling_strategy=_at(node)).remote()


def _at(node: str) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
    return NodeAffinitySchedulingStrategy(node, soft=False)


def _name(node: dict[str, Any]) -> str:
    return f"the node {node['NodeManagerHostname']} ({node['NodeManagerAddress']})"


def _connect(address: str) -> ModuleType:
    """Join the cluster at HOST:PORT; ClusterError where there is none."""
    try:
        import ray
    except ModuleNotFoundError as error:
        raise ClusterError("--ray needs ray, which is not installed; bring it with: pip install "
                           "'gato_ros[cluster]'") from error
    host, colon, port = address.rpartition(':')
    if not (colon and port.isdigit()):
        raise ClusterError(f'the Ray address is {address!r}, expected HOST:PORT, as `ray start '
                           '--head` says it')
    try:
        socket.create_connection((host, int(port)), ANSWER_S).close()
        ray.init(address=address, log_to_driver=False, logging_level='ERROR')
    except (OSError, OverflowError, RuntimeError) as error:  # RuntimeError: Ray's own refusals
        raise ClusterError(f'no Ray cluster answers at {address} '
                           f'({str(error).splitlines()[0]}); is one started there, and is this '
                           'machine one of its nodes (ray start --address)?') from error
    return ray


def _read(folder: Path) -> Files:
    return {str(file.relative_to(folder)): file.read_bytes()
            for file in sorted(folder.rglob('*')) if file.is_file()}


def _write(folder: Path, files: Files) -> None:
    for name, contents in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path, synced=True) as aside:
            aside.write_bytes(contents)
