"""Experts of the memory tasks, and the same without memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gato_ros.domains.stacking.expert import CLOSE, Aim, Expert
from gato_ros.domains.stacking.memory.env import MemoryEnv
from gato_ros.domains.stacking.memory.judges import NEAR, CountJudge
from gato_ros.domains.stacking.memory.tasks import MOST_TAPS
from gato_ros.domains.stacking.reset import CENTRE
from gato_ros.domains.stacking.tasks import EXTENT, PAIRS

RAISED = 0.16  # m of the tcp above the table: a hand that has finished
PRESSED, BETWEEN = 0.042, 0.10  # m of the tcp above the table: in a tap, between two


class MemoryExpert(Expert):
    """Knows what the cue was. Under brakes and before it is over it does nothing."""

    def __init__(self, env: MemoryEnv) -> None:
        super().__init__(env)
        self._memory, self.cue = env, env.cue

    def act(self) -> np.ndarray:
        if self._memory.braked:
            return np.zeros(len(self._memory.robot.joints))
        return super().act()

    def _aim(self) -> Aim:
        name = self._memory.memory.name
        if name == 'put_back':
            return self._aim_put_back()
        if name == 'count_taps':
            return self._aim_tap()
        return super()._aim()

    def _aim_put_back(self) -> Aim:
        """Put the block down where it should be now; let go of one that lies there, and rise."""
        env, world = self._memory, self._world
        place = np.asarray(self.cue) if env.tidied else env.pad
        block = world.block('red')
        there = np.linalg.norm((block - place)[:2]) < 0.8 * NEAR and block[2] < place[2] + 0.004
        loose = world.opening > world.extents('red')[1] / 2 + 0.008 or not world.held('red')
        if there and loose:
            return self._aim_leave('red')
        return self._aim_put('red', place)

    def _aim_tap(self) -> Aim:
        world, judge = self._world, self._memory.judge
        assert isinstance(judge, CountJudge)
        block = world.block('red')
        yaw = self._yaw_now()
        if judge.taps >= int(str(self.cue)):
            return Aim(np.array([*world.tcp[:2], RAISED]), yaw, CLOSE)
        over = float(np.linalg.norm((block - world.tcp)[:2])) < 0.012
        down = judge.ready and over
        return Aim(np.array([*block[:2], PRESSED if down else BETWEEN]), yaw, CLOSE)


class ForgetfulExpert(MemoryExpert):
    """As good as one timestep allows, and better: it has the expert's skill and state.

    It never knew the cue and takes one answer for every episode; in the dark it waits.
    """

    def __init__(self, env: MemoryEnv) -> None:
        super().__init__(env)
        name = env.memory.name
        self._guess = None
        if name == 'recall_pair':
            self._guess = PAIRS[0]
        elif name == 'hidden_goal':
            self._guess = ('red', 'green')
        elif name == 'count_taps':
            self.cue = (1 + MOST_TAPS) // 2
        elif name == 'put_back':  # somewhere on the table, and not on the tile
            side = -1.0 if env.pad[1] > CENTRE[1] else 1.0
            self.cue = np.array([CENTRE[0], CENTRE[1] + side * EXTENT['wide'][1] / 2, 0.02])

    def act(self) -> np.ndarray:
        env = self._memory
        if env.dark and not env.braked:
            still = np.zeros(len(env.robot.joints))
            still[self._world.finger] = -env.robot.scale[self._world.finger] * (
                self._world.opening < 0.03)
            return still
        return super().act()

    def _aim(self) -> Aim:
        if self._guess is None:
            return super()._aim()
        true = self._memory.task
        self._memory.task = replace(true, blocks=self._guess)
        try:
            return super()._aim()
        finally:
            self._memory.task = true
