"""One episode: an actor before a domain's world, a robot's commands behind the gate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gato_ros.domains.domain import Environment, Values
from gato_ros.evaluation.actors import Actor, Scene

NOMINAL, RANDOMISED = 'nominal', 'randomised'


@dataclass(frozen=True)
class Outcome:
    """How one episode ended.

    randomisation  nominal, randomised by the domain's own means, or a disturbance's name
    success      None where the domain knows scores alone
    failure      what went wrong in the domain's words, empty on success
    fingerprint  of everything that the episode depends on, see ``suite.fingerprint``
    """

    task: str
    randomisation: str
    actor: str
    seed: int
    success: bool | None
    score: float
    steps: int
    failure: str
    fingerprint: str = ''


def rollout(scene: Scene, actor: Actor, name: str = 'policy',
            watch: Callable[[Environment], None] | None = None) -> Outcome:
    """Run the episode of a scene, with the environment as it is set.

    name   of the actor, for the outcome
    watch  is called with the environment after each step
    """
    environment = scene.environment
    environment.pictures = actor.sees
    observation = environment.reset(scene.task, scene.seed)
    actor.reset(scene)
    sent: Values | None = None
    steps = 0
    while not environment.ended:
        observation, sent = environment.apply(actor.act(observation, sent))
        steps += 1
        if watch is not None:
            watch(environment)
    return Outcome(scene.reference, condition(environment), name, scene.seed,
                   environment.success, float(environment.score), steps, environment.failure)


def condition(environment: Environment) -> str:
    """Return the word for how an environment is set."""
    return environment.disturbance or (RANDOMISED if environment.randomise else NOMINAL)
