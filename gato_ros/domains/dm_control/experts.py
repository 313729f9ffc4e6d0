"""Who demonstrates a task: a controller in closed form, a small learnt policy, or a planner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gato_ros.domains.dm_control import controllers
from gato_ros.domains.dm_control.environment import SuiteEnvironment
from gato_ros.domains.dm_control.learnt import Learnt, is_learnt
from gato_ros.domains.dm_control.planner import PLANS, Planner
from gato_ros.domains.domain import Demonstrator, Values
from gato_ros.spec import Observation

CLOSED: dict[str, Callable[[Any, int], np.ndarray]] = {
    'cartpole': controllers.cartpole,
    'pendulum': controllers.pendulum,
    'point_mass': controllers.point_mass,
    'reacher': controllers.reacher,
}


def expert_of(world: SuiteEnvironment, rng: np.random.Generator) -> Demonstrator:
    """Return the expert of the episode that has just begun in this world."""
    if is_learnt(world.task):
        return Learnt(world)
    if world.task in PLANS:
        return Planner(world, PLANS[world.task], rng)
    return Closed(world)


class Closed:
    """A controller that looks at the physics."""

    def __init__(self, world: SuiteEnvironment) -> None:
        self._world = world
        self._control = CLOSED[world.task.split('-')[0]]

    def act(self, observation: Observation) -> Values:
        world = self._world
        return {'control': self._control(world.physics, world.decision)}
