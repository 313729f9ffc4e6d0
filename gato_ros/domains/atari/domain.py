"""The games as a domain: each with sticky actions, as is usual, and without.

Emulator and cartridges are the package ale-py's; nothing of it is part of this one.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import ale_py
import numpy as np

from gato_ros.domains.atari.environment import AtariEnvironment
from gato_ros.domains.atari.experts import EXPERTS
from gato_ros.domains.atari.games import GAMES, SPEC, STEADY, game_of, sentence_of
from gato_ros.domains.domain import Demonstrator, Domain, Environment, TaskSpec, Values
from gato_ros.spec import Observation, TimestepSpec


class Atari(Domain):
    """One body for all games: 64 x 64 pixels seen, one of 18 combinations of buttons pressed."""

    name = 'atari'
    licence = 'GPL-2.0'
    version = f'ale-py {ale_py.__version__}'
    bar = 0.5

    @cached_property
    def tasks(self) -> Mapping[str, TaskSpec]:
        names = [rom + end for end in ('', STEADY) for rom in GAMES]
        return {name: TaskSpec(name, sentence_of(*game_of(name)),
                               held_out=game_of(name)[0].held_out) for name in names}

    def specification(self, task: str = '') -> TimestepSpec:
        return SPEC

    def environment(self) -> Environment:
        return AtariEnvironment()

    def demonstrator(self, environment: Environment, kind: str,
                     rng: np.random.Generator) -> Demonstrator:
        world = environment.world
        assert isinstance(world, AtariEnvironment)
        return Reader(world)

    def human(self, task: str) -> float | None:
        return game_of(task)[0].human

    def fingerprint(self) -> list[bytes]:
        source = sorted(Path(__file__).parent.glob('*.py'))
        return [self.version.encode(), *(file.read_bytes() for file in source)]


class Reader:
    """An expert: a function of the console's memory, now and one timestep earlier."""

    def __init__(self, world: AtariEnvironment) -> None:
        self._world, self._expert = world, EXPERTS[world.game.rom]

    def act(self, observation: Observation) -> Values:
        ram, former = (memory.astype(int) for memory in (self._world.ram, self._world.former))
        return {'buttons': np.array([self._expert(ram, former)])}
