"""Messages and arrays: round trips, any joint order, and one sentence for each bad input."""

from __future__ import annotations

import array
import dataclasses
import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import Image, JointState

from gato_ros.nodes.common import convert
from gato_ros.nodes.common.convert import ConvertError
from gato_ros.robot import POSITIONS, VELOCITIES, CameraSpec, load_robot

ROBOT = load_robot('panda_sim')
CAMERA = CameraSpec('front', 'camera/front/image_raw', 32, 48)
PICTURE = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)


def image(encoding: str = 'rgb8', padding: int = 0) -> Image:
    """Return PICTURE as a driver would send it."""
    grey = PICTURE[..., :1]
    alpha = np.full_like(grey, 7)
    pixels = {'rgb8': PICTURE, 'bgr8': PICTURE[..., ::-1], 'mono8': grey,
              'rgba8': np.concatenate([PICTURE, alpha], -1),
              'bgra8': np.concatenate([PICTURE[..., ::-1], alpha], -1)}[encoding]
    rows = pixels.reshape(32, -1)
    rows = np.concatenate([rows, np.full((32, padding), 99, np.uint8)], axis=1)
    return Image(height=32, width=48, encoding=encoding, step=rows.shape[1],
                 data=array.array('B', rows.tobytes()))


def joints(names: list[str], **parts: list[float]) -> JointState:
    return JointState(name=names, **parts)


@pytest.mark.parametrize('padding', [0, 5])
@pytest.mark.parametrize('encoding', ['rgb8', 'bgr8', 'rgba8', 'bgra8', 'mono8'])
def test_every_encoding_becomes_rgb(encoding: str, padding: int) -> None:
    result = convert.to_image(image(encoding, padding), CAMERA)
    expected = np.repeat(PICTURE[..., :1], 3, -1) if encoding == 'mono8' else PICTURE
    assert result.dtype == np.uint8 and np.array_equal(result, expected)


def test_an_image_survives_the_round_trip() -> None:
    msg = convert.from_image(PICTURE, 1_234_567_890_123, 'camera_front_optical')
    assert np.array_equal(convert.to_image(msg, CAMERA), PICTURE)
    assert convert.to_ns(msg.header.stamp) == 1_234_567_890_123
    assert isinstance(msg.data, array.array)


@pytest.mark.parametrize(('change', 'words'), [
    ({'encoding': '16UC1'}, "camera/front/image_raw: the encoding is '16UC1', expected rgb8"),
    ({'height': 31}, '4608 bytes with a step of 144, expected 31 rows of 144 bytes'),
    ({'width': 49}, '4608 bytes with a step of 144, expected 32 rows of 147 bytes'),
    ({'step': 143}, '4608 bytes with a step of 143, expected 32 rows of 144 bytes'),
    ({'data': array.array('B', bytes(10))}, '10 bytes with a step of 144'),
])
def test_a_bad_image_is_refused_in_one_sentence(change: dict, words: str) -> None:
    msg = image()
    for name, value in change.items():
        setattr(msg, name, value)
    with pytest.raises(ConvertError) as caught:
        convert.to_image(msg, CAMERA)
    assert words in str(caught.value) and '\n' not in str(caught.value)


@settings(deadline=None)
@given(st.randoms(use_true_random=False), st.lists(st.text('abc', min_size=1), max_size=3,
                                                   unique=True))
def test_any_order_of_joints_gives_the_same_vector(shuffle: random.Random,
                                                   others: list[str]) -> None:
    rng = np.random.default_rng(1)
    values = {name: tuple(rng.normal(size=2)) for name in (*ROBOT.joint_names, *others)}
    names = list(values)
    shuffle.shuffle(names)
    result = convert.to_proprioception(
        joints(names, position=[values[n][0] for n in names],
               velocity=[values[n][1] for n in names]), ROBOT)
    moving = [j.name for j in ROBOT.joints if j.observe_velocity]
    assert result[POSITIONS].tolist() == [values[n][0] for n in ROBOT.joint_names]
    assert result[VELOCITIES].tolist() == [values[n][1] for n in moving]


GOOD = list(ROBOT.joint_names)


@pytest.mark.parametrize(('msg', 'words'), [
    (joints(GOOD[1:], position=[0.0] * 7), 'joint_states: panda_joint1 missing'),
    (joints([]), 'received none'),
    (joints([*GOOD, GOOD[0]], position=[0.0] * 9), 'joint names repeat: panda_joint1'),
    (joints(GOOD, position=[0.0] * 7), '7 values of position, expected one for each of its 8'),
    (joints(GOOD, position=[math.nan] + [0.0] * 7), 'the position of panda_joint1 is nan'),
    (joints(GOOD, position=[0.0] * 7 + [math.inf]), 'of panda_finger_joint1 is inf'),
])
def test_bad_joint_states_are_refused_in_one_sentence(msg: JointState, words: str) -> None:
    with pytest.raises(ConvertError) as caught:
        convert.joint_values(msg, ROBOT.joint_names, 'position', 'joint_states')
    assert words in str(caught.value) and '\n' not in str(caught.value)


def test_a_joint_that_is_not_asked_for_may_be_nan() -> None:
    msg = joints([*GOOD, 'other'], position=[0.5] * 8 + [math.nan])
    assert (convert.joint_values(msg, GOOD, 'position', 'joint_states') == 0.5).all()


def test_an_effort_survives_the_round_trip() -> None:
    effort = np.random.default_rng(2).normal(size=8)
    msg = convert.from_effort(ROBOT.joint_names, effort, 50_000_000)
    assert np.array_equal(convert.to_effort(msg, ROBOT, 'proposed_effort'), effort)
    assert convert.to_ns(msg.header.stamp) == 50_000_000


def test_an_effort_for_an_unknown_joint_is_refused() -> None:
    msg = joints([*GOOD, 'seventh_arm'], effort=[0.0] * 9)
    with pytest.raises(ConvertError, match='proposed_effort: seventh_arm unknown'):
        convert.to_effort(msg, ROBOT, 'proposed_effort')


def test_commands_are_split_by_controller_in_its_joint_order() -> None:
    mixed = dataclasses.replace(ROBOT, joints=ROBOT.joints[::-1])
    commands = convert.Commands(mixed)(np.arange(8.0))
    assert list(commands['gripper_controller'].data) == [0.0]
    assert list(commands['effort_controller'].data) == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]


@settings(deadline=None)
@given(st.integers(0, 2**62))
def test_stamps_survive(ns: int) -> None:
    ns %= 2**31 * 10**9
    assert convert.to_ns(convert.to_stamp(ns)) == ns


def test_depth_becomes_points_in_the_optical_frame() -> None:
    info = convert.from_intrinsics(CAMERA, math.pi / 2, 0, 'camera_front_optical')
    msg = convert.from_depth(np.full((32, 48), 2.0, np.float32), info)
    points = np.frombuffer(msg.data, np.float32).reshape(32, 48, 3)
    assert (points[..., 2] == 2.0).all()
    assert np.allclose(points[15:17, :, 1].mean(), 0.0)  # the axis goes through the middle
    assert np.allclose(points[31, 47, :2] / 2.0, [23.5 / 16, 15.5 / 16])
    assert (msg.height, msg.width, msg.row_step) == (32, 48, 576)
