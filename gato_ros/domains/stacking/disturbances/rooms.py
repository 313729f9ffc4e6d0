"""Randomisation that grows until real rooms are inside it, as a world of its own.

Beside what sim/randomisation.yaml draws: tables from dark to white and tinted, dim and bright
light, blocks of several sizes, a fourth block that no sentence names.
"""

from __future__ import annotations

import numpy as np

from gato_ros.domains.stacking.disturbances.model import FOURTH, free_spot, put_fourth
from gato_ros.domains.stacking.env import StackingEnv
from gato_ros.domains.stacking.shapes import cube
from gato_ros.domains.stacking.tasks import BLOCKS, Task
from gato_ros.domains.stacking.world import World
from gato_ros.robot import RobotSpec
from gato_ros.spec import Observation

TABLE, TINT = (0.06, 0.97), 0.15  # grey of a table, and how far each channel is from it
LIGHT = 0.3, 1.5  # factor of all light
SIDES_MM = range(34, 51, 2)  # of the cubes
SHARE = 0.5  # of episodes with a fourth block
COLOURS = ((0.95, 0.85, 0.1), (0.95, 0.5, 0.05), (0.5, 0.15, 0.6), (0.9, 0.45, 0.6),
           (0.35, 0.2, 0.1), (0.9, 0.9, 0.9), (0.5, 0.5, 0.5), (0.08, 0.08, 0.08),
           (0.1, 0.75, 0.75))  # of such a block: none is red, green or blue
AWAY = np.array([0.45, 0.62, 0.02])  # m: on the table, out of the picture


class RoomsEnv(StackingEnv):
    """One task, each episode in a room of its own."""

    def __init__(self, robot: RobotSpec, task: Task, render: bool = True) -> None:
        super().__init__(robot, task, True, render)

    def _make_world(self) -> World:
        world = World(self.robot, another=FOURTH)
        self._headlight = world.model.vis.headlight.diffuse.copy()
        return world

    def reset(self, seed: int) -> Observation:
        rng, world = np.random.default_rng((seed, 15)), self.world
        self.randomise, self._begun = True, False
        if self._tasks.shapes == 'cubes':
            side = int(rng.choice(SIDES_MM))
            world.reshape(dict.fromkeys((*BLOCKS, FOURTH), cube(side)))
        super().reset(seed)
        model = world.model
        table = model.geom('table').rgba
        table[:3] = np.clip(rng.uniform(*TABLE) + rng.uniform(-TINT, TINT, 3), 0.0, 1.0)
        light = rng.uniform(*LIGHT)
        model.vis.headlight.diffuse[:] = np.minimum(light * self._headlight, 1.0)
        for found in (model.vis.headlight.ambient, model.light_diffuse):
            found[:] = np.minimum(light * found, 1.0)
        model.geom(FOURTH).rgba[:3] = COLOURS[rng.integers(len(COLOURS))]
        shown = rng.random() < SHARE
        put_fourth(world, free_spot(world, rng) if shown else AWAY, rng.uniform(-np.pi, np.pi))
        world.forward()
        self._begun = True
        return self.observe()

    def observe(self) -> Observation:
        return super().observe() if self._begun else Observation()
