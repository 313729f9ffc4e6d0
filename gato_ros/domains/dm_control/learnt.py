"""Small policies as experts, in gato_ros/assets/experts.

scripts/dm_control_policy.py makes them. They see what the suite shows, cost microseconds, and
answer any state without memory.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

import gato_ros
from gato_ros.domains.dm_control.environment import SuiteEnvironment
from gato_ros.domains.domain import Values
from gato_ros.spec import Observation

FOLDER = Path(gato_ros.__file__).parent / 'assets' / 'experts'


class Learnt:
    """The expert of one episode: two hidden layers, the mean of what was learnt."""

    def __init__(self, world: SuiteEnvironment) -> None:
        self._world, self._arrays = world, _arrays(world.task)

    def act(self, observation: Observation) -> Values:
        raw, arrays = self._world.raw, self._arrays
        x = np.concatenate([np.ravel(raw[name]) for name in sorted(raw)])
        x = np.clip((x - arrays['centre']) / arrays['scale'], -5, 5)
        for layer in range(3):
            x = arrays[f'weight{layer}'] @ x + arrays[f'bias{layer}']
            x = np.tanh(x) if layer == 2 else np.maximum(x, 0)
        return {'control': x}


def is_learnt(task: str) -> bool:
    """Whether there is a policy for this task."""
    return (FOLDER / f'{task}.npz').is_file()


@lru_cache(maxsize=32)
def _arrays(task: str) -> dict[str, np.ndarray]:
    with np.load(FOLDER / f'{task}.npz') as file:
        return {name: file[name].astype(np.float64) for name in file.files}
