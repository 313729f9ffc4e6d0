"""MiniGrid's memory: an object in the first room says which way to turn at the hallway's end.

    gato-ros evaluate --task minigrid/MemoryS11 --actor expert --actor forgetful

What is seen and done is BabyAI's (babyai.py). Whether one timestep can ever be enough: in S11 and
S13 the object is farther from the split than the view reaches. The hallway is one cell wide and
entered at its end facing ahead, whatever the object was, and so is each return to it; so without
memory either end is reached as often after one object as after the other, and half is right. In
S7 and S9 the object can be seen from the split, so there a policy that turns about until it is
content needs no memory; they serve to learn from.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gato_ros.domains.domain import Demonstrator, Domain, Environment, TaskSpec, Values
from gato_ros.domains.suites.babyai import SPEC, BabyAI, BabyAIEnvironment
from gato_ros.spec import Observation, TimestepSpec

SIZES = ('S7', 'S9', 'S11', 'S13', 'S13Random')
NEEDED = ('S11', 'S13')  # where memory is
HELD_OUT = ('S13Random',)  # halls of other lengths
SENTENCE = 'go to the matching object at the end of the hallway'
LEFT, RIGHT, FORWARD = range(3)
EAST, SOUTH, WEST, NORTH = range(4)


class MemoryMaze(Domain):
    """Mazes by the size of their grid."""

    name = 'minigrid'
    licence = 'Apache-2.0'
    version = BabyAI.version

    @property
    def tasks(self) -> Mapping[str, TaskSpec]:
        return {f'Memory{size}': TaskSpec(f'Memory{size}', SENTENCE, held_out=size in HELD_OUT,
                                          chance=0.5 if size in NEEDED else None)
                for size in SIZES}

    @property
    def suite(self) -> tuple[str, ...]:
        return tuple(name for name, task in self.tasks.items() if not task.held_out)

    def specification(self, task: str = '') -> TimestepSpec:
        return SPEC

    def environment(self) -> Environment:
        return MazeEnvironment()

    def demonstrator(self, environment: Environment, kind: str,
                     rng: np.random.Generator) -> Demonstrator:
        return MazeExpert(_maze(environment))

    def forgetful(self, environment: Environment) -> Demonstrator:
        return MazeExpert(_maze(environment), knows=False)


class MazeEnvironment(BabyAIEnvironment):
    """A maze at work."""

    def identity(self, task: str) -> str:
        return f'MiniGrid-{task}-v0'

    def longest(self, task: str) -> int:
        return 8 * int(self.inside.width)

    def twin(self) -> Environment:
        return MazeEnvironment()


class MazeExpert:
    """Looks for the object, walks to the split, turns to its like.

    knows  whether it remembers the object; else it always turns to the same side
    """

    def __init__(self, world: MazeEnvironment, knows: bool = True) -> None:
        self._world, self._knows = world, knows

    def act(self, observation: Observation) -> Values:
        return {'action': np.array([self._action()])}

    def _action(self) -> int:
        world, inside = self._world, self._world.inside
        x, middle = int(inside.agent_pos[0]), inside.height // 2
        split = int(inside.success_pos[0])
        if not world.explored[1, middle - 1] and x < split:
            return self._go(WEST)
        if x < split:
            return self._go(EAST)
        above = inside.success_pos[1] < middle
        return self._go(NORTH if above or not self._knows else SOUTH)

    def _go(self, way: int) -> int:
        """Turn to ``way``, or go on if it lies ahead."""
        turns = (way - int(self._world.inside.agent_dir)) % 4
        return FORWARD if turns == 0 else LEFT if turns == 3 else RIGHT


def _maze(environment: Environment) -> MazeEnvironment:
    world = environment.world
    assert isinstance(world, MazeEnvironment)
    return world
