"""What decides a memory task: the first answer, right or wrong."""

from __future__ import annotations

import numpy as np

from gato_ros.domains.stacking.judge import HOLD_S, Judge
from gato_ros.domains.stacking.tasks import PAIRS, Task
from gato_ros.domains.stacking.world import World

NEAR = 0.025  # m from where a block has to stand, level
ASIDE = 0.05  # m from the tile's middle: so near a block has not been put elsewhere
TOUCHED, PAUSED = 0.03, 0.08  # m of the hand above a block: ready for the next tap; gone
PAUSE_S = 1.0  # a hand that is gone for so long has finished


class MemoryJudge:
    """Watches one episode.

    success, lost  whether it is decided, and how
    tidied         whether the first half of put_back is over
    """

    success = lost = tidied = False
    failure = ''

    def watch(self) -> None:
        """Look at the present state; called whenever time has passed."""
        raise NotImplementedError


class FirstStackJudge(MemoryJudge):
    """The first pair that stands for a quarter of a second decides."""

    def __init__(self, world: World, task: Task) -> None:
        self._right = Judge(world, task)
        self._wrong = Held(world)
        self._others = [pair for pair in PAIRS if pair != task.blocks]

    def watch(self) -> None:
        if self.success or self.lost:
            return
        self._right.watch()
        self.success = self._right.success
        self.lost = not self.success and self._wrong.since(
            any(self._right.stands(*pair) for pair in self._others), HOLD_S)

    @property
    def failure(self) -> str:  # type: ignore[override]
        return 'another pair' if self.lost else self._right.failure


class PutBackJudge(MemoryJudge):
    """First onto the tile, then back: the first place where the block is let go decides.

    start  float64[3], m: where the red block stood;  pad: the middle of the tile
    put_aside  whether it stands on the tile, let go
    """

    def __init__(self, world: World, start: np.ndarray, pad: np.ndarray) -> None:
        self._world, self._start, self._pad = world, start, pad
        self._aside, self._back, self._elsewhere = Held(world), Held(world), Held(world)
        self.put_aside = False

    def watch(self) -> None:
        if self.success or self.lost:
            return
        red = self._world.block('red')
        let_go = self._lies('red') and frozenset(('red', 'hand')) not in self._world.touching()
        home, pad = (float(np.linalg.norm((red - spot)[:2])) for spot in (self._start, self._pad))
        if not self.tidied:
            self.put_aside = self._aside.since(let_go and pad < NEAR, HOLD_S)
            return
        self.success = self._back.since(let_go and home < NEAR, HOLD_S)
        self.lost = self._elsewhere.since(let_go and home >= NEAR and pad > ASIDE, HOLD_S)

    def _lies(self, name: str) -> bool:
        world = self._world
        return bool(world.block(name)[2] < 0.6 * world.height(name))

    @property
    def failure(self) -> str:  # type: ignore[override]
        if self.success:
            return ''
        return 'put elsewhere' if self.lost else (
            'not put back' if self.tidied else 'not put on the tile')


class CountJudge(MemoryJudge):
    """Counts touches of the red block; the first pause after one, or one too many, decides.

    taps   so far;  ready: whether the hand has left the block since the last one
    """

    def __init__(self, world: World, wanted: int) -> None:
        self._world, self._wanted, self._gone = world, wanted, Held(world)
        self.taps, self.ready = 0, True

    def watch(self) -> None:
        if self.success or self.lost:
            return
        world = self._world
        gap = float(np.linalg.norm(world.tcp - world.block('red'))) - world.height('red') / 2
        if self.ready and frozenset(('red', 'hand')) in world.touching():
            self.taps, self.ready = self.taps + 1, False
        elif gap > TOUCHED and frozenset(('red', 'hand')) not in world.touching():
            self.ready = True
        paused = self._gone.since(self.taps > 0 and gap > PAUSED, PAUSE_S)
        self.success = paused and self.taps == self._wanted
        self.lost = self.taps > self._wanted or (paused and not self.success)

    @property
    def failure(self) -> str:  # type: ignore[override]
        if self.success:
            return ''
        return 'miscounted' if self.lost else 'timed out'


class Held:
    """Since when something is so, on end."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._start: float | None = None

    def since(self, so: bool, seconds: float) -> bool:
        """Whether it is so, and has been for ``seconds``."""
        now = float(self._world.data.time)
        if not so:
            self._start = None
        elif self._start is None:
            self._start = now
        return self._start is not None and now - self._start >= seconds - 1e-6
