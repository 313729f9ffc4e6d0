"""Whether a task is solved, and if not, what went wrong."""

from __future__ import annotations

import numpy as np

from gato_ros.sim.tasks import Task
from gato_ros.sim.world import BLOCK_SIZE, World

HOLD_S = 0.25  # success must last this long
REACH_HEIGHT = 0.06  # m above the block's centre: the point that reach tasks aim at
REACH_RADIUS = 0.03  # m
LIFT_HEIGHT = 0.08  # m of the block's bottom above the table


class Judge:
    """Watches one episode; ``watch`` is called whenever time has passed."""

    def __init__(self, world: World, task: Task) -> None:
        self._world, self._task = world, task
        self.success = False
        self._since: float | None = None
        self._reached = self._lifted = self._stacked = False

    def watch(self) -> None:
        """Look at the present state; success stays once it was held for a quarter of a second."""
        world, first = self._world, self._first()
        block = world.block(first)
        self._reached |= bool(np.linalg.norm(world.tcp - block) < REACH_RADIUS)
        self._lifted |= bool(world.held(first) and block[2] > BLOCK_SIZE)
        solved = self._solved()
        self._stacked |= solved
        now = float(world.data.time)
        if not solved:
            self._since = None
        elif self._since is None:
            self._since = now
        elif now - self._since >= HOLD_S - 1e-6:
            self.success = True

    @property
    def failure(self) -> str:
        """What went wrong so far, '' on success."""
        if self.success:
            return ''
        if self._task.kind == 'reach' or not self._reached:
            return 'never reached'
        if not self._lifted:
            return 'missed grasp'
        block = self._world.block(self._first())
        if self._stacked and self._task.kind != 'lift' and not self._solved():
            return 'toppled'
        if self._world.held(self._first()):
            return 'timed out'
        if self._task.kind != 'lift':
            lower = self._world.block(dict(self._task.pairs)[self._first()])
            if np.linalg.norm((block - lower)[:2]) < 1.75 * BLOCK_SIZE:
                return 'misaligned'
        return 'dropped' if block[2] < 0.75 * BLOCK_SIZE else 'timed out'

    def _first(self) -> str:
        """Return the block that moves now: the first whose pair is not stacked."""
        for upper, lower in self._task.pairs:
            if not stacked(self._world, upper, lower):
                return upper
        return self._task.blocks[0]

    def _solved(self) -> bool:
        world, task = self._world, self._task
        block = world.block(task.blocks[0])
        if task.kind == 'reach':
            above = block + (0, 0, REACH_HEIGHT)
            return bool(np.linalg.norm(world.tcp - above) < REACH_RADIUS)
        if task.kind == 'lift':
            return block[2] - BLOCK_SIZE / 2 > LIFT_HEIGHT and world.held(task.blocks[0])
        if not all(stacked(world, upper, lower) for upper, lower in task.pairs):
            return False
        touching = world.touching()
        return all({upper, lower} in touching and {upper, 'table'} not in touching
                   and {upper, 'hand'} not in touching for upper, lower in task.pairs)


def stacked(world: World, upper: str, lower: str) -> bool:
    """Whether ``upper``'s centre is over ``lower``, one block higher, held or not."""
    offset = world.block(upper) - world.block(lower)
    return bool(np.linalg.norm(offset[:2]) < BLOCK_SIZE / 2
                and abs(offset[2] - BLOCK_SIZE) < BLOCK_SIZE / 4)
