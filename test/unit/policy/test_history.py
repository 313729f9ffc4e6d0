"""What of the past a policy sees: never more than was learnt, never over a hole unsaid."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gato_ros.policy.checkpoint import CheckpointError, load_checkpoint
from gato_ros.policy.policy import GatoPolicy
from gato_ros.policy.stamps import Stamps

PERIOD_NS = 50_000_000


def at(robot, step, seed=0):
    return replace(robot.example_observation(seed), stamp_ns=(1 + step) * PERIOD_NS)


@pytest.mark.parametrize(('stamps', 'missing'), [
    ([1, 2, 3, 4], [0, 0, 0, 0]), ([1, 2, 4, 5, 9], [0, 0, 1, 0, 3]),
    ([3, 3, 3], [0, 0, 0]), ([5, 6, 2, 3], [0, 0, 0, 0]),
    ([0, 0.9, 2.0, 2.9, 4.3], [0, 0, 0, 0, 1])])
def test_holes_are_counted_by_the_shortest_time_between_two(stamps, missing):
    follow = Stamps()
    assert [follow.missing(round(stamp * PERIOD_NS)) for stamp in stamps] == missing


def test_a_checkpoint_that_saw_one_timestep_is_not_shown_eight(make_checkpoint, robot):
    checkpoint = load_checkpoint(make_checkpoint(window_timesteps=1))
    with pytest.raises(CheckpointError, match='a window of 8 timesteps was asked for, expected 1 '
                                              'to 1: more this checkpoint has not learnt'):
        GatoPolicy(checkpoint, 'stacking', timesteps=8)
    policy = GatoPolicy(checkpoint, 'stacking')
    with pytest.raises(CheckpointError, match='a window of 2 timesteps'):
        policy.beside('stacking', timesteps=2)


def test_held_to_one_timestep_the_same_weights_forget_what_was_before(make_checkpoint, robot):
    whole = GatoPolicy(load_checkpoint(make_checkpoint()), 'stacking', temperature=1.0)
    held = whole.beside('stacking', temperature=1.0, timesteps=1)
    answers = []
    for past in (1, 2, None):
        held.reset()
        if past is not None:
            held.act(at(robot, 0, past))
            held._generator.manual_seed(0)  # the draws of a policy that has just begun
        answers.append(held.act(at(robot, 1, 7)).tokens.tolist())
    assert answers[0] == answers[1] == answers[2]
    for step in range(3):
        held.act(at(robot, 2 + step))
        whole.act(at(robot, 2 + step))
    assert (held.window.timesteps, whole.window.timesteps) == (1, 3)


def test_a_hole_is_said_and_a_long_one_clears_the_window_up_to_the_prompt(make_checkpoint, robot):
    policy = GatoPolicy(load_checkpoint(make_checkpoint()), 'stacking')
    policy.reset('stack the red block')
    assert [policy.act(at(robot, step)).missing for step in (0, 1, 2, 5)] == [0, 0, 0, 2]
    assert policy.window.timesteps == 4
    late = policy.act(at(robot, 40, 3))
    assert (late.missing, policy.window.timesteps) == (34, 1)
    assert policy.window.visible[:policy.window.pinned].all() and policy.window.pinned > 0


def test_after_a_long_hole_it_answers_as_if_it_had_just_begun(make_checkpoint, robot):
    policy = GatoPolicy(load_checkpoint(make_checkpoint()), 'stacking')
    for step in (0, 1, 2):
        policy.act(at(robot, step, step))
    again = policy.act(at(robot, 60, 9)).tokens.tolist()
    policy.reset()
    assert policy.act(at(robot, 0, 9)).tokens.tolist() == again


def test_a_rolling_prompt_that_leaves_no_room_is_refused(make_checkpoint, robot):
    policy = GatoPolicy(load_checkpoint(make_checkpoint(window_tokens=60)), 'stacking')
    with pytest.raises(ValueError, match=r'a rolling prompt and one timestep are \d+ tokens, '
                                         r'expected at most 60: it would leave before it is read'):
        policy.reset('stack the red block on the blue block', pinned=False)
