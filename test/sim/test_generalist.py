"""One file of weights, one process: every domain that it knows, and none disturbs another."""

from __future__ import annotations

import numpy as np
import pytest

from gato_ros.domains.language.moments import Moments
from gato_ros.policy.checkpoint import GENERALIST, Checkpoint, load_checkpoint
from gato_ros.policy.policy import GatoPolicy
from gato_ros.policy.words import Speaker
from gato_ros.robot import load_robot
from gato_ros.spec import example_observation

STEPS = 3


@pytest.fixture(scope='module')
def weights() -> Checkpoint:
    return load_checkpoint(GENERALIST)


def acting(weights: Checkpoint) -> list[str]:
    return [name for name, domain in weights.config.domains.items() if domain.timestep.actions]


def step(policy: GatoPolicy, number: int) -> list[int]:
    observation = example_observation(policy.tokenizer.spec, number)
    return policy.act(observation).tokens.tolist()


def test_the_context_alone_decides_what_comes_out(weights: Checkpoint) -> None:
    """Interleaved step by step, each context gives what it gives with nobody beside it."""
    names = acting(weights)
    heads = {name.split('/')[0] for name in names}
    assert {'stacking', 'metaworld', 'babyai', 'gymnasium', 'dm_control', 'atari'} <= heads
    first = GatoPolicy(weights, names[0])
    together = {names[0]: first, **{name: first.beside(name) for name in names[1:]}}
    chat = Speaker(first)
    found: dict[str, list[list[int]]] = {name: [] for name in names}
    for number in range(STEPS):
        for name, policy in together.items():
            found[name].append(step(policy, number))
        assert ''.join(chat.answer('who are you?', longest=40))
    for name in names:
        alone = GatoPolicy(weights, name)
        assert [step(alone, number) for number in range(STEPS)] == found[name], name


def test_what_it_says_of_a_scene_follows_from_the_pictures(weights: Checkpoint) -> None:
    moments = Moments(load_robot('panda_sim'))
    shown = [next(iter(moments.of(seed))).pictures for seed in range(4)]
    moments.close()
    speaker = Speaker(weights, list(shown[0]))
    said = [''.join(speaker.answer('', pictures, 60)) for pictures in shown]
    grey = {name: np.full_like(picture, 128) for name, picture in shown[0].items()}
    assert len(set(said)) > 1 and all(text.isprintable() for text in said)
    assert ''.join(speaker.answer('', grey, 60)) not in said
