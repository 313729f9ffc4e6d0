"""Whether a task is solved, and if not, what went wrong."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from gato_ros.domains.stacking.tasks import Task
from gato_ros.domains.stacking.world import World

HOLD_S = 0.25  # success must last this long
REACH_HEIGHT = 0.06  # m above the block's centre: the point that reach tasks aim at
REACH_RADIUS = 0.03  # m
LIFT_HEIGHT = 0.08  # m of the block's bottom above the table
LEVEL = 0.01  # m: how far a stacked block's height may be from what both blocks' heights give
FAILURES = ('never reached', 'missed grasp', 'dropped', 'misaligned', 'toppled', 'timed out')


class Watcher(Protocol):
    """Judges one episode."""

    @property
    def success(self) -> bool:
        """Whether the task was solved."""

    @property
    def failure(self) -> str:
        """What went wrong so far; '' on success."""

    def watch(self) -> None:
        """Look at the present state; called whenever time has passed."""


class Judge:
    """Watches one episode; ``watch`` is called whenever time has passed."""

    def __init__(self, world: World, task: Task) -> None:
        self._world, self._task = world, task
        self.success: bool = False
        self._since: float | None = None
        self._reached: set[str] = set()  # blocks
        self._lifted: set[str] = set()
        self._stood: set[tuple[str, str]] = set()  # pairs that stood free, if only for a moment

    def watch(self) -> None:
        """Look at the present state; success stays once it was held for a quarter of a second."""
        world, first = self._world, self._first()
        block = world.block(first)
        if np.linalg.norm(world.tcp - block) < REACH_RADIUS:
            self._reached.add(first)
        if world.held(first) and block[2] > world.height(first):
            self._lifted.add(first)
        standing = {pair for pair in self._task.pairs if self.stands(*pair)}
        self._stood |= standing
        now = float(world.data.time)
        if not self._solved(standing):
            self._since = None
        elif self._since is None:
            self._since = now
        elif now - self._since >= HOLD_S - 1e-6:
            self.success = True

    @property
    def failure(self) -> str:
        """One of FAILURES, of the block whose turn it is now; '' on success.

        never reached  the hand did not come near the block
        missed grasp   it did, but never lifted it
        dropped        the block was lifted and lies on the table
        misaligned     it lies close beside the lower block, or leans on it
        toppled        a stack stood free and fell
        timed out      the block is in the hand, in the air or on its place at the end
        """
        world, first = self._world, self._first()
        if self.success:
            return ''
        if self._task.kind == 'reach' or first not in self._reached:
            return 'never reached'
        if first not in self._lifted:
            return 'missed grasp'
        if world.held(first):
            return 'timed out'
        if any(not stacked(world, *pair) for pair in self._stood):
            return 'toppled'
        lower = dict(self._task.pairs).get(first)
        if lower is not None and not stacked(world, first, lower):
            gap = np.linalg.norm((world.block(first) - world.block(lower))[:2])
            if gap < 0.875 * (world.extents(first)[2] + world.extents(lower)[2]):
                return 'misaligned'
        return 'dropped' if world.block(first)[2] < 0.75 * world.height(first) else 'timed out'

    def _first(self) -> str:
        """Return the block that moves now: the first whose pair is not stacked."""
        for upper, lower in self._task.pairs:
            if not stacked(self._world, upper, lower):
                return upper
        return self._task.blocks[0]

    def _solved(self, standing: set[tuple[str, str]]) -> bool:
        world, task = self._world, self._task
        block = world.block(task.blocks[0])
        if task.kind == 'reach':
            above = block + (0, 0, REACH_HEIGHT)
            return bool(np.linalg.norm(world.tcp - above) < REACH_RADIUS)
        if task.kind == 'lift':
            bottom = block[2] - world.height(task.blocks[0]) / 2
            return bool(bottom > LIFT_HEIGHT and world.held(task.blocks[0]))
        return standing == set(task.pairs)

    def stands(self, upper: str, lower: str) -> bool:
        """Whether ``upper`` is stacked on ``lower`` and touches neither the table nor the hand."""
        if not stacked(self._world, upper, lower):
            return False
        touching = self._world.touching()
        return ({upper, lower} in touching and {upper, 'table'} not in touching
                and {upper, 'hand'} not in touching)


def stacked(world: World, upper: str, lower: str) -> bool:
    """Whether ``upper``'s centre is over ``lower``, at the height of one on the other, or held so.

    Over it: nearer to its axis than half of its narrower side.
    """
    offset = world.block(upper) - world.block(lower)
    high, (low, width, _) = world.height(upper), world.extents(lower)
    return bool(np.linalg.norm(offset[:2]) < width / 2
                and abs(offset[2] - (high + low) / 2) < LEVEL)
