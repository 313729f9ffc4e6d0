"""The policy under other prompts in the same scenes: does the prompt decide what is done?

The scene of a seed is the same whatever is told: only the prompt can say which block goes where.
"""

from __future__ import annotations

import numpy as np

from gato_ros.config import ConfigError
from gato_ros.domains.stacking.env import StackingEnv
from gato_ros.domains.stacking.tasks import PAIRS
from gato_ros.episodes.prompts import STEPS
from gato_ros.evaluation.actors import PolicyActor, demonstrate
from gato_ros.robot import TORQUES
from gato_ros.tokens.sequence import Prompt

FIRST_SEED = 20_000  # of the demonstrations: between those for testing and those for training


class UntoldActor(PolicyActor):
    """No prompt at all: judged by the scene's own pair, which it can only guess."""

    def prompt(self, env: StackingEnv, seed: int) -> Prompt:
        return ''


class MisledActor(PolicyActor):
    """Told another pair than the scene's own, and judged by whether it obeys."""

    def prompt(self, env: StackingEnv, seed: int) -> Prompt:
        env.retell(other_pair(env, seed))
        return super().prompt(env, seed)


class ShownActor(PolicyActor):
    """Shown the end of an expert's demonstration of the scene's pair, elsewhere on the table.

    Every episode has a demonstration of its own, which no training has seen.
    """

    def prompt(self, env: StackingEnv, seed: int) -> Prompt:
        policy, tokenizer = self._policy, self._policy.tokenizer
        other = StackingEnv(env.robot, env.task, env.randomise)
        blocks = [tokenizer.encode(seen.images, seen.proprioception, {TORQUES: sent})
                  for seen, sent in demonstrate(other, FIRST_SEED + seed)]
        other.close()
        window = policy.window
        room = window.capacity // len(tokenizer.layout()) - (window.max_timesteps or 1)
        return blocks[-min(STEPS, room):]


class MisshownActor(ShownActor):
    """Shown another pair than the scene's own, and judged by whether it does what it saw."""

    def prompt(self, env: StackingEnv, seed: int) -> Prompt:
        env.retell(other_pair(env, seed))
        return super().prompt(env, seed)


def other_pair(env: StackingEnv, seed: int) -> tuple[str, str]:
    """Return a pair (upper, lower) that is not the scene's own, drawn by the seed.

    Raises ConfigError when the task is no stack of two.
    """
    if env.task.blocks not in PAIRS:
        raise ConfigError(f'task {env.task.name!r} was given, expected a stack of two blocks, '
                          'such as stack_any_pair, where a prompt can say another pair')
    others = [pair for pair in PAIRS if pair != env.task.blocks]
    return others[np.random.default_rng((seed, 4)).integers(len(others))]
