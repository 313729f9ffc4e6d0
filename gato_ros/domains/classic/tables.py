"""Grid worlds: what is seen as a few small numbers, and experts by value iteration.

The tables of transitions are Gymnasium's own, ``env.unwrapped.P``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

DISCOUNT, SWEEPS = 0.999, 2000  # nearly undiscounted: a slow way on the ice is as good as a fast


class Places(gymnasium.ObservationWrapper):
    """The number of a state as its parts, such as row and column; the last one counts fastest.

    parts  name -> how many values it has
    """

    def __init__(self, env: gymnasium.Env, parts: Mapping[str, int]) -> None:
        super().__init__(env)
        self.parts = dict(parts)
        self.observation_space = spaces.Dict(
            {name: spaces.Discrete(count) for name, count in parts.items()})

    def observation(self, observation: Any) -> dict[str, np.int64]:
        """Return the parts of a state's number."""
        numbers = np.unravel_index(int(observation), tuple(self.parts.values()))
        return {name: np.int64(n) for name, n in zip(self.parts, numbers, strict=True)}


def best_actions(transitions: Mapping[int, Mapping[int, list]]) -> np.ndarray:
    """Return int64[states]: the action of the highest value in each, by value iteration.

    transitions  state -> action -> [(probability, next state, reward, whether it ends)]
    """
    states, actions = len(transitions), len(transitions[0])
    chance = np.zeros((actions, states, states))
    reward = np.zeros((actions, states))
    for state, choices in transitions.items():
        for action, outcomes in choices.items():
            for probability, after, gain, ends in outcomes:
                reward[action, state] += probability * gain
                chance[action, state, after] += 0.0 if ends else probability
    value = np.zeros(states)
    for _ in range(SWEEPS):
        former, value = value, (reward + DISCOUNT * chance @ value).max(0)
        if np.abs(value - former).max() < 1e-9:
            break
    return (reward + DISCOUNT * chance @ value).argmax(0)


def planner(world: gymnasium.Env) -> Callable[[np.ndarray], int]:
    """Return the best action of a state, for the parts that are seen: int64[parts] -> action."""
    best = best_actions(world.unwrapped.P)  # type: ignore[attr-defined]
    inside: Any = world
    while not isinstance(inside, Places):
        inside = inside.env
    parts = inside.parts

    def best_in(seen: np.ndarray) -> int:
        # A space of several parts has them by the alphabet.
        place = dict(zip(sorted(parts), seen, strict=True))
        return int(best[np.ravel_multi_index([int(place[name]) for name in parts],
                                             tuple(parts.values()))])

    return best_in
