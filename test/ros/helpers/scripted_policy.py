"""The real policy node around a policy of three lines: drives every joint home. No torch.

Run as a process, or ``PolicyNode(load=...)`` in a test.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import SimpleNamespace

import numpy as np

from gato_ros.nodes.common.run import run
from gato_ros.nodes.policy.policy_node import PolicyNode
from gato_ros.robot import POSITIONS, TORQUES, RobotSpec
from gato_ros.spec import Action, Observation
from gato_ros.tokens.context import ContextWindow

HOME = np.array([0.0, -0.275, 0.0, -2.59, 0.0, 2.314, 0.785, 0.04])
STIFFNESS = np.array([150.0, 150.0, 150.0, 150.0, 40.0, 40.0, 25.0, 500.0])  # Nm/rad, N/m


class HomePolicy:
    """Remembers what it was told, so that a test can look."""

    said = understood = refusal = fallback_reason = checkpoint_hash = ''
    sentences = ()
    engine = SimpleNamespace(name='scripted')

    def __init__(self) -> None:
        self.window = ContextWindow(1)
        self.prompts: list[str] = []
        self.seen: list[Observation] = []
        self.sent: list[np.ndarray | None] = []

    def reset(self, prompt: str = '', *, pinned: bool = True) -> None:
        self.prompts.append(prompt)

    def look(self, camera: str, image: np.ndarray) -> None:
        """See a picture before its observation."""

    def act(self, observation: Observation,
            sent: Mapping[str, np.ndarray] | None = None) -> Action:
        self.seen.append(observation)
        self.sent.append(sent and sent[TORQUES])
        effort = STIFFNESS * (HOME - observation.proprioception[POSITIONS])
        tokens = np.full(len(effort), 32512)
        return Action({TORQUES: effort}, tokens, observation.stamp_ns, {'total': 0.0})


def load(params: SimpleNamespace, robot: RobotSpec) -> HomePolicy:
    return HomePolicy()


if __name__ == '__main__':
    sys.exit(run(lambda: PolicyNode(load=load)))
