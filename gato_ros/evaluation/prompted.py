"""The policy under other prompts in the same scenes: does the prompt decide what is done?

The scene of a seed is the same whatever is told: only the prompt can say what is to be done there.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gato_ros.domains.language.wordings import word
from gato_ros.episodes.prompts import STEPS
from gato_ros.evaluation.actors import PolicyActor, Scene, demonstrate
from gato_ros.tokens.sequence import Prompt


class UntoldActor(PolicyActor):
    """No prompt at all: judged by the scene's own goal, which it can only guess."""

    def prompt(self, scene: Scene) -> Prompt:
        return ''


class WordedActor(PolicyActor):
    """Told the scene's own goal in words that no training has seen."""

    literal = False

    def prompt(self, scene: Scene) -> Prompt:
        rng = np.random.default_rng((scene.seed, 8))
        return word(rng, held_out=True, meant=scene.environment.sentence).said


class MisledActor(PolicyActor):
    """Told another goal than the scene's own, and judged by whether it obeys."""

    def prompt(self, scene: Scene) -> Prompt:
        scene.environment.other_goal(scene.seed)
        return super().prompt(scene)


class ShownActor(PolicyActor):
    """Shown the end of an expert's demonstration of the scene's goal, in another scene.

    Every episode has a demonstration of its own, which no training has seen.
    """

    def prompt(self, scene: Scene) -> Prompt:
        policy, tokenizer = self._policy, self._policy.tokenizer
        other = scene.environment.twin()
        other.pictures = True
        seed = scene.domain.seeds.demonstrations.start + scene.seed
        blocks = [tokenizer.encode(seen.images, seen.proprioception, sent)
                  for seen, sent in demonstrate(replace(scene, environment=other, seed=seed))]
        other.close()
        window = policy.window
        room = window.capacity // len(tokenizer.layout()) - (window.max_timesteps or 1)
        return blocks[-min(STEPS, room):]


class MisshownActor(ShownActor):
    """Shown another goal than the scene's own, and judged by whether it does what it saw."""

    def prompt(self, scene: Scene) -> Prompt:
        scene.environment.other_goal(scene.seed)
        return super().prompt(scene)
