"""Labels of a demonstration: where the hand went next, never what a person's keys did."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from recordings import ROBOT, do_import, messages, write

from gato_ros.config import ConfigError
from gato_ros.episodes.episode import read_slice
from gato_ros.episodes.hindsight import labels
from gato_ros.jog import AHEAD_M, Jog
from gato_ros.robot import TORQUES

HOME = np.array([0, -0.275, 0, -2.59, 0, 2.314, 0.785, 0.04])
OPEN, CLOSED = 0.04, 0.02


def swing(steps: int, speed: float) -> np.ndarray:
    """Return positions (T, N) of an arm that turns about its base, rad a step."""
    positions = np.tile(HOME, (steps, 1))
    positions[:, 0] = speed * np.arange(steps)
    return positions


def grips(*parts: tuple[int, float]) -> np.ndarray:
    """Return efforts (T, N) with nothing but the gripper's: (timesteps, share of its scale)."""
    efforts = np.zeros((sum(steps for steps, _ in parts), len(HOME)))
    efforts[:, -1] = np.repeat([share for _, share in parts], [steps for steps, _ in parts])
    return efforts * ROBOT.scale


def stay(positions: np.ndarray) -> np.ndarray:
    """Return the arm's torques where the hand is to stay: towards the rest posture, no more."""
    jog = Jog(ROBOT)
    pose = jog.chain.pose(positions)
    return jog.pull(positions, pose.position, pose.rotation)[:7]


def test_a_label_pulls_to_the_first_place_that_is_far_enough_ahead() -> None:
    positions = swing(60, 0.01)
    jog = Jog(ROBOT)
    poses = [jog.chain.pose(row) for row in positions]
    found = labels(ROBOT, positions, grips((60, 1.0)))
    ahead = next(t for t, pose in enumerate(poses)
                 if np.linalg.norm(pose.position - poses[0].position) >= AHEAD_M)
    assert 5 < ahead < 30
    wanted = jog.pull(positions[0], poses[ahead].position, poses[ahead].rotation)
    wanted[-1] = ROBOT.scale[-1]
    assert found[0] == pytest.approx(wanted) and found[0, 0] > 5.0
    assert np.all(np.abs(found) <= ROBOT.scale + 1e-9)
    assert found[-1, :7] == pytest.approx(stay(positions[-1])), 'then there is nowhere to go'


def test_a_slow_hand_and_a_fast_one_are_labelled_alike_and_keys_do_not_matter() -> None:
    slow, fast = swing(120, 0.004), swing(30, 0.016)
    noise = grips((120, 1.0))
    noise[:, :7] = np.random.default_rng(0).normal(0, 20, (120, 7))
    found, quick = labels(ROBOT, slow, noise), labels(ROBOT, fast, grips((30, 1.0)))
    assert np.array_equal(found, labels(ROBOT, slow, grips((120, 1.0))))
    assert found[:60:4, 0] == pytest.approx(quick[:15, 0], rel=0.25)


def test_the_hand_stays_while_the_gripper_closes_and_no_label_looks_past_a_grasp() -> None:
    positions = np.concatenate([swing(20, 0.01), np.tile(swing(20, 0.01)[-1:], (20, 1)),
                                swing(20, 0.01) + [0.2, 0, 0, 0, 0, 0, 0, 0]])
    positions[:, -1] = CLOSED
    positions[:25, -1] = np.concatenate([np.full(20, OPEN), np.linspace(OPEN, CLOSED, 5)])
    efforts = grips((20, 1.0), (40, -1.0))
    found = labels(ROBOT, positions, efforts)
    assert found[:18, -1] == pytest.approx(ROBOT.scale[-1])
    assert found[18:, -1] == pytest.approx(-ROBOT.scale[-1]), 'told two timesteps sooner'
    assert found[20:23, :7] == pytest.approx(
        np.tile(stay(positions[20]), (3, 1))), 'it waits for the fingers'
    assert found[26, 0] > 5.0, 'and then goes on at once'
    # Before the grasp it pulls to where the block is, though the hand goes farther later.
    jog = Jog(ROBOT)
    there = jog.chain.pose(positions[20])
    assert found[17, :7] == pytest.approx(
        jog.pull(positions[17], there.position, there.rotation)[:7])


def test_a_recording_keeps_what_was_sent_and_no_label_looks_across_a_gap(tmp_path: Path) -> None:
    rows = messages(40)
    positions = swing(40, 0.01)

    def change(topic: str, ms: int, msg: dict) -> dict | None:
        step = (ms - 1_000) // 50
        if topic == 'joint_states':
            msg['position'] = positions[step][::-1].tolist()
        if topic == 'sent_effort':
            if step == 20:
                return None
            msg['effort'] = [*msg['effort'][:7], 1.0]
        return msg

    done = do_import(write(tmp_path / 'a.mcap', rows, change), in_hindsight=True)
    data = read_slice(done.file, 0, 39)
    assert not np.array_equal(data['action'][TORQUES], data['sent'][TORQUES])
    plain = do_import(write(tmp_path / 'b.mcap', rows, change))
    as_sent = read_slice(plain.file, 0, 39)
    assert np.array_equal(as_sent['action'][TORQUES], as_sent['sent'][TORQUES])
    assert np.array_equal(as_sent['sent'][TORQUES], data['sent'][TORQUES])
    found = data['action'][TORQUES]
    assert found[19, :7] == pytest.approx(stay(positions[19]), abs=0.01), 'before the gap'
    assert found[20, 0] > 5.0


def test_a_robot_that_nobody_can_jog_is_one_sentence() -> None:
    with pytest.raises(ConfigError, match='has no teleoperation, expected that'):
        labels(replace(ROBOT, teleoperation=None), swing(5, 0.01), grips((5, 1.0)))
