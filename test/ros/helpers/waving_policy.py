"""The real policy node around a policy that never comes to rest: every joint swings about home.

    python waving_policy.py --stall-s 0.3       # each fortieth answer takes so long
    python waving_policy.py --grip 1000         # so many N at the gripper, whatever it can bear
    python waving_policy.py --think             # the shipped policy works too, for nothing
"""

from __future__ import annotations

import sys
import time
from types import SimpleNamespace

import numpy as np
from scripted_policy import HOME, STIFFNESS, HomePolicy

from gato_ros.nodes.common.run import run
from gato_ros.nodes.policy.loading import load_policy
from gato_ros.nodes.policy.policy_node import PolicyNode
from gato_ros.robot import POSITIONS, TORQUES, RobotSpec
from gato_ros.spec import Action

SWING = np.array([0.2, 0.1, 0.2, 0.1, 0.2, 0.2, 0.2, 0.0])  # rad


class WavingPolicy(HomePolicy):
    stall_s = grip = 0.0

    def act(self, observation, sent=None) -> Action:
        self.count = getattr(self, 'count', 0) + 1
        if self.stall_s and self.count % 40 == 0:
            time.sleep(self.stall_s)
        phase = 2 * np.pi * time.monotonic()
        goal = HOME + SWING * np.sin(phase + np.arange(len(HOME)))
        effort = np.clip(STIFFNESS * (goal - observation.proprioception[POSITIONS]), -4.5, 4.5)
        effort[-1] = self.grip or effort[-1]
        return Action({TORQUES: effort}, np.full(len(effort), 32512), observation.stamp_ns,
                      {'total': 0.0})


class ThinkingPolicy(WavingPolicy):
    """Takes the time and the memory of the shipped policy."""

    def __init__(self, params: SimpleNamespace, robot: RobotSpec) -> None:
        super().__init__()
        self._real = load_policy(params, robot)

    def reset(self, prompt='', *, pinned=True) -> None:
        self._real.reset(prompt, pinned=pinned)

    def look(self, camera: str, image: np.ndarray) -> None:
        self._real.look(camera, image)

    def act(self, observation, sent=None) -> Action:
        self._real.act(observation, sent)
        return super().act(observation)


def load(params: SimpleNamespace, robot: RobotSpec) -> WavingPolicy:
    return ThinkingPolicy(params, robot) if '--think' in sys.argv else WavingPolicy()


if __name__ == '__main__':
    for flag, name in (('--stall-s', 'stall_s'), ('--grip', 'grip')):
        if flag in sys.argv:
            setattr(WavingPolicy, name, float(sys.argv[sys.argv.index(flag) + 1]))
    sys.exit(run(lambda: PolicyNode(load=load)))
