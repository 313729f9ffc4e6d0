"""The blocks' world with something to remember: cues, brakes, darkness, a hand that tidies up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gato_ros.domains.stacking.env import StackingEnv
from gato_ros.domains.stacking.memory.judges import (
    CountJudge,
    FirstStackJudge,
    MemoryJudge,
    PutBackJudge,
)
from gato_ros.domains.stacking.memory.tasks import MOST_TAPS, MemoryTask
from gato_ros.domains.stacking.render import Mark
from gato_ros.domains.stacking.reset import CENTRE, reset
from gato_ros.domains.stacking.tasks import BLOCKS, PAIRS, Task
from gato_ros.robot import RobotSpec
from gato_ros.spec import Observation

DARK_S = 0.5  # of each blackout, and of the tidying of put_back
LIT_TIMESTEPS = (2, 5)  # between two blackouts: at least, and one more than at most
FIRST_LIT_S = 0.5  # before the first blackout
BLINK_S = 0.5  # from one blink to the next; the tile is lit for the first half
PANEL = np.array([0.30, 0.20, 0.16])  # m, middle of the tile that stands beside the arm
SIDE = 0.04  # m, half a side of each of the tile's squares
PAD, MARK = 0.03, 0.014  # m, half a side of the tile on the table; of what a block covers whole
AWAY = np.array([[0.45, -0.62, 0.02], [0.45, 0.62, 0.02]])  # m: on the table, out of the picture
CLEAR = 0.10  # m between the tile on the table and every block


class MemoryEnv(StackingEnv):
    """One memory task; ``cue`` is what has to be remembered.

    recall_pair  (upper, lower);   hidden_goal  the block that covers the mark
    put_back     float64[3], m, where the red block stood;   count_taps  how often the tile blinked
    blackout     None: what is seen between two blackouts
    braked       whether commands move nothing now
    dark         whether the cameras are black now
    tidied       whether put_back's first half is over
    """

    cue: object = None

    def __init__(self, robot: RobotSpec, memory: MemoryTask, randomise: bool = False,
                 render: bool = True) -> None:
        self.memory = memory
        super().__init__(robot, memory.base, randomise, render)

    def reset(self, seed: int) -> Observation:
        self._seed, self._now, self._tidying, self.tidied = seed, 0, 0, False
        self._dark: frozenset[int] = frozenset()
        self._begun = False
        super().reset(seed)
        self._watcher = self._judge = self._begin(np.random.default_rng((seed, 11)))
        self._begun = True
        self.world.forward()
        return self.observe()

    @property
    def cued(self) -> bool:
        """Whether the cue is being shown."""
        return self._now < self._steps(self.memory.cue_s)

    @property
    def braked(self) -> bool:
        return self._tidying > 0 or self.cued

    @property
    def dark(self) -> bool:
        return self._tidying > 0 or self._now in self._dark

    @property
    def lost(self) -> bool:  # type: ignore[override]
        return self._watcher.lost

    @property
    def time_limit_s(self) -> float:
        return self.memory.limit_s

    @property
    def judge(self) -> MemoryJudge:
        """Counts in this episode."""
        return self._watcher

    def _pass(self, effort: np.ndarray, late: int) -> None:
        if self.braked:
            effort = self._command = np.zeros_like(effort)
        super()._pass(effort, late)
        cued = self.cued
        self._now, self._tidying = self._now + 1, max(0, self._tidying - 1)
        if self.memory.name == 'hidden_goal' and cued and not self.cued:
            self._cover()
        judge = self._watcher
        if isinstance(judge, PutBackJudge) and judge.put_aside and not self.tidied:
            self._tidy()

    def observe(self) -> Observation:
        if not self._begun:
            return Observation()
        self.marks = self._marks()
        seen = super().observe()
        if self.dark:
            seen = replace(seen, images={n: np.zeros_like(p) for n, p in seen.images.items()})
        return seen

    def _steps(self, seconds: float) -> int:
        return round(seconds * self.robot.rate_hz)

    # Each task's own.

    def _begin(self, rng: np.random.Generator) -> MemoryJudge:
        """Draw what has to be remembered, arrange the scene for it, return who judges it."""
        world, name = self.world, self.memory.name
        if name == 'recall_pair':
            pair = PAIRS[rng.integers(len(PAIRS))]
            self.cue, self.task = pair, self._told(pair)
        elif name == 'hidden_goal':
            self.cue = cover = str(rng.choice(['green', 'blue']))
            self.task = self._told(('red', cover))
            self._spots = {block: (world.block(block), world.block_yaw(block))
                           for block in ('green', 'blue')}
            for place, block in zip(AWAY, self._spots, strict=True):
                world.place(block, place)
        elif name == 'put_back':
            self.cue, self.pad = world.block('red'), self._free_spot(rng)
            self._stood = {block: (world.block(block), world.block_yaw(block))
                           for block in ('green', 'blue')}
            return PutBackJudge(world, self.cue, self.pad)
        elif name == 'count_taps':
            self.cue = 1 + int(rng.integers(MOST_TAPS))
            return CountJudge(world, self.cue)
        else:
            self._dark = self._blackouts(rng)
        return FirstStackJudge(world, self.task)

    def _told(self, pair: tuple[str, str]) -> Task:
        return replace(self.task, blocks=pair)

    def _blackouts(self, rng: np.random.Generator) -> frozenset[int]:
        """Return the timesteps that are dark: half a second each, a glimpse between them."""
        step, dark, last = self._steps(FIRST_LIT_S), set[int](), self._steps(self.memory.limit_s)
        while step < last:
            dark |= set(range(step, step + self._steps(DARK_S)))
            step += self._steps(DARK_S) + int(rng.integers(*LIT_TIMESTEPS))
        return frozenset(dark)

    def _free_spot(self, rng: np.random.Generator) -> np.ndarray:
        """Return a place for the tile on the table, float64[3] in m, clear of every block."""
        while True:
            spot = CENTRE + rng.uniform(-1, 1, 2) * self.task.extent
            gaps = [np.linalg.norm(self.world.block(name)[:2] - spot) for name in BLOCKS]
            if min(gaps) > CLEAR:
                return np.array([*spot, 0.02])

    def _cover(self) -> None:
        """Put the two blocks to where they stand, one of them over the mark."""
        for block, (place, yaw) in self._spots.items():
            self.world.place(block, place, yaw)
        self.world.forward()

    def _tidy(self) -> None:
        """In the dark: the block into the tile's middle, others back, the arm to where it began.

        All of it is drawn anew, so that nothing but memory leads back.
        """
        world, rng = self.world, np.random.default_rng((self._seed, 12))
        time = world.data.time
        reset(world, self.task, rng)
        world.data.time = time
        world.place('red', self.pad, float(rng.uniform(-np.pi, np.pi)))
        for name, (spot, yaw) in self._stood.items():
            world.place(name, spot, yaw)
        world.forward()
        self._command = np.zeros_like(self._command)
        self._tidying, self.tidied = self._steps(DARK_S), True
        self._watcher.tidied = True

    def _marks(self) -> tuple[Mark, ...]:
        """Return what is shown now and cannot be touched."""
        name = self.memory.name
        if name == 'put_back':
            return (_flat(self.pad, PAD),)
        if not self.cued:
            return ()
        if name == 'recall_pair':
            colours = [self.world.model.geom(block).rgba for block in self.task.blocks]
            return tuple(Mark(PANEL + (0, 0, z), (0.002, SIDE, SIDE), tuple(colour))
                         for z, colour in zip((SIDE, -SIDE), colours, strict=True))
        if name == 'hidden_goal':
            return (_flat(self._spots[str(self.cue)][0], MARK),)
        blink, phase = divmod(self._now, self._steps(BLINK_S))
        lit = name == 'count_taps' and blink < int(str(self.cue)) and (
            phase < self._steps(BLINK_S / 2))
        return (Mark(PANEL, (0.002, SIDE, SIDE), (1.0, 0.9, 0.2, 1.0)),) if lit else ()


def _flat(spot: np.ndarray, half: float) -> Mark:
    """Return a white square on the table."""
    return Mark(np.array([spot[0], spot[1], 0.001]), (half, half, 0.001), (0.95, 0.95, 0.95, 1.0))
