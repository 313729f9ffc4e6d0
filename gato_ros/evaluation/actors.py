"""Who may act in a rollout: the policy, and the controls beside which its rate is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from gato_ros.config import ConfigError
from gato_ros.domains.domain import Domain, Environment, Values
from gato_ros.policy.policy import GatoPolicy
from gato_ros.spec import Observation
from gato_ros.tokens.sequence import Prompt, TimestepTokenizer


@dataclass(frozen=True)
class Scene:
    """Where an episode takes place.

    reference  the task as the evaluation names it, DOMAIN/TASK perhaps; task: as the domain does
    """

    domain: Domain
    environment: Environment
    reference: str
    task: str
    seed: int


Policies = Callable[[Scene], GatoPolicy]  # the checkpoint at work in a scene's domain


class Actor(Protocol):
    """Answers observations with actions."""

    @property
    def sees(self) -> bool:
        """Whether its observations need pictures."""

    def reset(self, scene: Scene) -> None:
        """Begin an episode, which the environment has begun."""

    def act(self, observation: Observation, sent: Values | None) -> Values:
        """Return what to do; ``sent`` is what was really done last time, behind a robot's gate."""


class PolicyActor:
    """The checkpoint, prompted with the episode's sentence; it sees the observation alone.

    literal  whether a sentence is taken as it is; else what it does not understand moves nothing
    """

    sees = True
    literal = True

    def __init__(self, policies: Policies) -> None:
        self._policies = policies

    def reset(self, scene: Scene) -> None:
        self._policy, self._environment = self._policies(scene), scene.environment
        self._policy.reset(self.prompt(scene), scene.seed, literal=self.literal)

    def prompt(self, scene: Scene) -> Prompt:
        return scene.environment.sentence

    def act(self, observation: Observation, sent: Values | None) -> Values:
        if self._policy.refusal:
            return self._environment.still(sent)
        seen = replace(observation, images=self._view(observation.images))
        return self._policy.act(seen, sent).values

    def _view(self, images: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        return images


class OneTimestepActor(PolicyActor):
    """The same weights held to one timestep: nothing that was seen before is in the context."""

    def __init__(self, policies: Policies) -> None:
        super().__init__(policies)
        self._held: tuple[GatoPolicy, GatoPolicy] | None = None

    def reset(self, scene: Scene) -> None:
        whole = self._policies(scene)
        if self._held is None or self._held[0] is not whole:
            self._held = whole, whole.beside(whole.domain, whole.temperature, timesteps=1)
        self._policy, self._environment = self._held[1], scene.environment
        self._policy.reset(self.prompt(scene), scene.seed, literal=self.literal)


class NoImageActor(PolicyActor):
    """The policy before grey pictures: what joints and words alone are good for."""

    def _view(self, images: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        return {name: np.full_like(image, 128) for name, image in images.items()}


class StaleImageActor(PolicyActor):
    """The policy with the episode's first pictures for ever: a plan made at one glance.

    The front camera has shown all blocks by then, so a policy that is no better than this one
    does not look while it acts.
    """

    def reset(self, scene: Scene) -> None:
        super().reset(scene)
        self._first: Mapping[str, np.ndarray] = {}

    def _view(self, images: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        self._first = self._first or images
        return self._first


class ExpertActor:
    """The domain's expert, which may know the simulator's state: what could be reached."""

    sees = False

    def reset(self, scene: Scene) -> None:
        self._expert = scene.domain.demonstrator(
            scene.environment, expert_of(scene.domain), np.random.default_rng((scene.seed, 5)))

    def act(self, observation: Observation, sent: Values | None) -> Values:
        return self._expert.act(observation)


class ForgetfulActor(ExpertActor):
    """The expert denied what was seen before: what can be reached without memory."""

    def reset(self, scene: Scene) -> None:
        self._expert = scene.domain.forgetful(scene.environment)


def expert_of(domain: Domain) -> str:
    """Return the name of a domain's expert; ConfigError where there is none."""
    if not domain.demonstrators:
        raise ConfigError(f'the domain {domain.name!r} has no expert, but an actor was asked for '
                          'that needs one; expected others, such as policy, random and still')
    return domain.demonstrators[0]


class RandomActor:
    """Action tokens drawn at random: what happens without any policy."""

    sees = False

    def reset(self, scene: Scene) -> None:
        self._rng = np.random.default_rng((scene.seed, 2))
        self._tokenizer = TimestepTokenizer(scene.environment.spec)
        layout = self._tokenizer.layout()
        first = len(layout) - layout.actions
        self._low, self._high = layout.low[first:], layout.high[first:]

    def act(self, observation: Observation, sent: Values | None) -> Values:
        return self._tokenizer.decode_action(self._rng.integers(self._low, self._high))


class StillActor:
    """As little as can be done: how often the task solves itself."""

    sees = False

    def reset(self, scene: Scene) -> None:
        self._environment = scene.environment

    def act(self, observation: Observation, sent: Values | None) -> Values:
        return self._environment.still()


class ReplayActor:
    """The expert's actions of the next seed's episode, replayed open loop.

    The movement is right and the scene another, so this tells whether the task needs looking at
    all. (Replaying a seed's own actions solves it: the world repeats exactly.) When they are used
    up it holds still, and a gripper keeps its force.
    """

    sees = False

    def reset(self, scene: Scene) -> None:
        self._environment = scene.environment
        other = scene.environment.twin()
        other.pictures = False
        self._actions = [sent for _, sent in demonstrate(
            replace(scene, environment=other, seed=scene.seed + 1))]
        other.close()
        self._step = 0

    def act(self, observation: Observation, sent: Values | None) -> Values:
        self._step += 1
        if self._step <= len(self._actions):
            return self._actions[self._step - 1]
        return self._environment.still(self._actions[-1])


def demonstrate(scene: Scene) -> Iterator[tuple[Observation, Values]]:
    """Let the expert solve a scene's episode; yield what was seen and what was really done."""
    environment, expert = scene.environment, ExpertActor()
    observation = environment.reset(scene.task, scene.seed)
    expert.reset(scene)
    while not environment.ended:
        following, sent = environment.apply(expert.act(observation, None))
        yield observation, sent
        observation = following
