"""Who may act in a rollout: the policy, and the controls beside which its rate is read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from gato_ros.policy.checkpoint import load_checkpoint
from gato_ros.policy.policy import GatoPolicy
from gato_ros.sim import Expert, StackingEnv
from gato_ros.spec import TORQUES, Observation
from gato_ros.tokens.sequence import TimestepTokenizer

CONTROLS = ('expert', 'random', 'still')


class Actor(Protocol):
    """Answers observations with residual torques."""

    def reset(self, env: StackingEnv, seed: int) -> None:
        """Begin an episode."""

    def act(self, observation: Observation, sent: np.ndarray | None) -> np.ndarray:
        """Return float64[N] in Nm; ``sent`` is what the gate let through last time."""


class PolicyActor:
    """The checkpoint, prompted with the task's sentence; it sees the observation alone."""

    def __init__(self, checkpoint: Path, env: StackingEnv, temperature: float | None) -> None:
        self._policy = GatoPolicy(load_checkpoint(checkpoint), env.robot.timestep(), temperature)

    def reset(self, env: StackingEnv, seed: int) -> None:
        self._policy.reset(env.task.sentence)

    def act(self, observation: Observation, sent: np.ndarray | None) -> np.ndarray:
        former: Mapping[str, np.ndarray] | None = None if sent is None else {TORQUES: sent}
        return self._policy.act(observation, former).values[TORQUES]


class ExpertActor:
    """The scripted expert, which knows the simulator's state: what could be reached."""

    def reset(self, env: StackingEnv, seed: int) -> None:
        self._expert = Expert(env)

    def act(self, observation: Observation, sent: np.ndarray | None) -> np.ndarray:
        return self._expert.act()


class RandomActor:
    """Action tokens drawn at random: what happens without any policy."""

    def reset(self, env: StackingEnv, seed: int) -> None:
        self._rng = np.random.default_rng((seed, 2))
        self._tokenizer = TimestepTokenizer(env.robot.timestep())
        layout = self._tokenizer.layout()
        self._low, self._high = layout.low[-layout.actions:], layout.high[-layout.actions:]

    def act(self, observation: Observation, sent: np.ndarray | None) -> np.ndarray:
        ids = self._rng.integers(self._low, self._high)
        return self._tokenizer.decode_action(ids)[TORQUES]


class StillActor:
    """No residual torque at all: how often the task solves itself."""

    def reset(self, env: StackingEnv, seed: int) -> None:
        self._zero = np.zeros(len(env.robot.joints))

    def act(self, observation: Observation, sent: np.ndarray | None) -> np.ndarray:
        return self._zero


def make_actor(name: str, env: StackingEnv, checkpoint: Path,
               temperature: float | None = None) -> Actor:
    """Return ``policy`` or one of the CONTROLS."""
    if name == 'policy':
        return PolicyActor(checkpoint, env, temperature)
    kinds: dict[str, type[Actor]] = {
        'expert': ExpertActor, 'random': RandomActor, 'still': StillActor}
    if name not in kinds:
        raise ValueError(f'actor is {name!r}, expected policy, {", ".join(CONTROLS)}')
    return kinds[name]()
