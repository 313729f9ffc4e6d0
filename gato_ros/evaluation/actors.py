"""Who may act in a rollout: the policy, and the controls beside which its rate is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np

from gato_ros.domains.stacking.env import StackingEnv
from gato_ros.domains.stacking.expert import Expert
from gato_ros.policy.policy import GatoPolicy
from gato_ros.robot import TORQUES
from gato_ros.safety import SafetyGate
from gato_ros.spec import Observation
from gato_ros.tokens.sequence import Prompt, TimestepTokenizer


class Actor(Protocol):
    """Answers observations with residual torques."""

    @property
    def sees(self) -> bool:
        """Whether its observations need pictures."""

    def reset(self, env: StackingEnv, seed: int) -> None:
        """Begin an episode."""

    def act(self, observation: Observation, sent: np.ndarray | None) -> np.ndarray:
        """Return float64[N] in Nm; ``sent`` is what the gate let through last time."""


class PolicyActor:
    """The checkpoint, prompted with the episode's sentence; it sees the observation alone."""

    sees = True

    def __init__(self, policy: GatoPolicy) -> None:
        self._policy = policy

    def reset(self, env: StackingEnv, seed: int) -> None:
        self._policy.reset(self.prompt(env, seed), seed)

    def prompt(self, env: StackingEnv, seed: int) -> Prompt:
        return env.task.sentence

    def act(self, observation: Observation, sent: np.ndarray | None) -> np.ndarray:
        former: Mapping[str, np.ndarray] | None = None if sent is None else {TORQUES: sent}
        seen = replace(observation, images=self._view(observation.images))
        return self._policy.act(seen, former).values[TORQUES]

    def _view(self, images: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        return images


class NoImageActor(PolicyActor):
    """The policy before grey pictures: what joints and words alone are good for."""

    def _view(self, images: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        return {name: np.full_like(image, 128) for name, image in images.items()}


class StaleImageActor(PolicyActor):
    """The policy with the episode's first pictures for ever: a plan made at one glance.

    The front camera has shown all blocks by then, so a policy that is no better than this one
    does not look while it acts.
    """

    def reset(self, env: StackingEnv, seed: int) -> None:
        super().reset(env, seed)
        self._first: Mapping[str, np.ndarray] = {}

    def _view(self, images: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        self._first = self._first or images
        return self._first


class ExpertActor:
    """The scripted expert, which knows the simulator's state: what could be reached."""

    sees = False

    def reset(self, env: StackingEnv, seed: int) -> None:
        self._expert = Expert(env)

    def act(self, observation: Observation, sent: np.ndarray | None) -> np.ndarray:
        return self._expert.act()


class RandomActor:
    """Action tokens drawn at random: what happens without any policy."""

    sees = False

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

    sees = False

    def reset(self, env: StackingEnv, seed: int) -> None:
        self._zero = np.zeros(len(env.robot.joints))

    def act(self, observation: Observation, sent: np.ndarray | None) -> np.ndarray:
        return self._zero


class ReplayActor:
    """The expert's torques of the next seed's episode, replayed open loop.

    The movement is right and the blocks lie elsewhere, so this tells whether the task needs
    looking at all. (Replaying a seed's own torques solves it: physics repeats exactly.) When they
    are used up the arm holds still and the fingers keep their force.
    """

    sees = False

    def reset(self, env: StackingEnv, seed: int) -> None:
        other = StackingEnv(env.robot, env.task, env.randomise, render=False)
        self._torques = record_expert(other, seed + 1)
        self._step = 0

    def act(self, observation: Observation, sent: np.ndarray | None) -> np.ndarray:
        self._step += 1
        if self._step <= len(self._torques):
            return self._torques[self._step - 1]
        still = np.zeros_like(self._torques[-1])
        still[-1] = self._torques[-1][-1]
        return still


def record_expert(env: StackingEnv, seed: int) -> list[np.ndarray]:
    """Let the expert solve an episode behind the gate; return what was sent, float64[N] each."""
    return [sent for _, sent in demonstrate(env, seed)]


def demonstrate(env: StackingEnv, seed: int) -> Iterator[tuple[Observation, np.ndarray]]:
    """Let the expert solve an episode behind the gate; yield what was seen, sent float64[N]."""
    observation = env.reset(seed)
    gate, expert = SafetyGate(env.robot), Expert(env)
    while not env.success and env.time_s < env.time_limit_s:
        sent = gate.check(expert.act(), 1.0 / env.robot.rate_hz).effort
        yield observation, sent
        observation = env.step(sent)
