"""Messages that nobody should send: the worst of each type within 1 MB, and no messages at all."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState, Joy
from std_msgs.msg import Float64MultiArray, String

from gato_ros.robot import load_robot

NAMES = list(load_robot('panda_sim').joint_names)
MB = 1_000_000
NUMBERS = (0.0, 1.0, -1.0, math.nan, math.inf, -math.inf, 1e308, 5e-324)
WORDS = ('', 'x' * MB, '[' * 100_000, '{"a":' * 100_000, '{', 'null', '3', '[]', '{}', '"', 'NaN',
         '{"status": 5}', '{"status": [], "task": {}, "sentence": null}',
         '{"status": "success"}', '{"status": "failed", "task": "../../x", "sentence": "\\u0000"}',
         '{"status": "running", "task": "' + 'a' * 5000 + '", "sentence": "b"}',
         '{"tokens": 7}', '{"tokens": ["a", [], {}], "stamp_ns": 1e999}', '9' * 5000, '1e999999',
         '{"tokens": [' + '1,' * 20_000 + '1], "stamp_ns": 1}', '{"stamp_ns": NaN, "actor": 3}',
         '{"a": 1, "a": 2}', '\x1b[2J\x07\r\n', '🧱' * 300, '\u202e', 'pipe.mcap#last',
         '/dev/zero.mcap', '../../etc/passwd.mcap#first', 'x' * 300 + '.mcap', '.mcap', '#',
         '#first', 'none.safetensors#last', 'folder.mcap#last', 'link.mcap#last')
STAMPS = ((0, 0), (2**31 - 1, 2**32 - 1), (-2**31, 0), (1, 999_999_999))


def joint_state(rng: random.Random) -> JointState:
    """Names that repeat, lie or go on for ever; values that are none."""
    names = rng.choice([
        lambda: NAMES, lambda: [NAMES[0]] * 5000, lambda: ['a'] * 100_000, lambda: [''] * 100_000,
        lambda: [f'joint{i}' for i in range(60_000)], lambda: ['x' * 900_000], lambda: [],
        lambda: NAMES[:-1], lambda: [*NAMES, NAMES[0]], lambda: ['other_gripper'],
        lambda: ['\x1b[2J', '🧱', *NAMES]])()
    msg = JointState(name=names)
    for part in ('position', 'velocity', 'effort'):
        count = rng.choice([0, len(NAMES), min(len(names), 1000), len(NAMES) + 1])
        setattr(msg, part, [rng.choice(NUMBERS) for _ in range(count)])
    if rng.random() < 0.1:
        msg = JointState(name=NAMES, position=[0.0] * 120_000)
    msg.header.frame_id = rng.choice(['', 'x' * 100_000])
    return msg


def string(rng: random.Random) -> String:
    return String(data=rng.choice(WORDS))


def status(rng: random.Random) -> DiagnosticStatus:
    """Any level, any name, any number of values."""
    values = rng.choice([0, 1, 3000])
    return DiagnosticStatus(
        level=bytes([rng.randrange(256)]), name=rng.choice(['', 'policy', 'safety', 'x' * 50_000]),
        message=rng.choice(WORDS[:8]), values=[
            KeyValue(key=rng.choice(['state', 'k' * 20, '']),
                     value=rng.choice(['nan', 'x', '1e999', ''])) for _ in range(values)])


def statuses(rng: random.Random) -> DiagnosticArray:
    count = rng.choice([0, 1, 3, 3000])
    if count > 3:
        return DiagnosticArray(status=[DiagnosticStatus(level=b'\x07', name=f'n{i}')
                                       for i in range(count)])
    return DiagnosticArray(status=[status(rng) for _ in range(count)])


def joy(rng: random.Random) -> Joy:
    return Joy(axes=[rng.choice([0.0, 1.0, math.nan, math.inf, -math.inf])] * rng.choice(
        [0, 1, 8, 200_000]), buttons=[rng.choice([0, 1, -1, 2**31 - 1])] * rng.choice(
            [0, 5, 12, 40_000]))


def image(rng: random.Random) -> Image:
    """Sizes that lie."""
    side = (0, 1, 64, 2**32 - 1)
    return Image(height=rng.choice(side), width=rng.choice(side), step=rng.choice([*side, 192]),
                 encoding=rng.choice(['rgb8', '', 'bayer_rggb8', 'x' * 100_000, '\x00', '32FC1']),
                 data=bytes(rng.choice([0, 1, 12_288, 900_000])))


def compressed(rng: random.Random) -> CompressedImage:
    return CompressedImage(format=rng.choice(['', 'jpeg', 'png', 'x' * 1000]),
                           data=rng.randbytes(rng.choice([0, 1, 100, 100_000])))


def camera_info(rng: random.Random) -> CameraInfo:
    return CameraInfo(height=rng.choice([0, 64, 2**32 - 1]), width=rng.choice([0, 64, 2**32 - 1]),
                      distortion_model=rng.choice(['', 'plumb_bob', 'x' * 100_000]),
                      d=[rng.choice(NUMBERS)] * rng.choice([0, 5, 100_000]))


def array(rng: random.Random) -> Float64MultiArray:
    return Float64MultiArray(data=[rng.choice(NUMBERS)] * rng.choice([0, 1, 6, 7, 8, 100_000]))


KINDS: dict[type, Callable[[random.Random], Any]] = {
    JointState: joint_state, String: string, DiagnosticStatus: status, DiagnosticArray: statuses,
    Joy: joy, Image: image, CompressedImage: compressed, CameraInfo: camera_info,
    Float64MultiArray: array}


def messages(kind: type, count: int, seed: int) -> Iterator[Any]:
    """Yield so many; one of five as bytes that are cut off, padded or changed somewhere."""
    rng = random.Random(seed)
    for _ in range(count):
        msg = KINDS[kind](rng)
        if hasattr(msg, 'header') and rng.random() < 0.7:
            msg.header.stamp.sec, msg.header.stamp.nanosec = rng.choice(STAMPS)
        if rng.random() < 0.8:
            yield msg
            continue
        data = bytearray(serialize_message(msg))
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(4, len(data))] = rng.randrange(256)
        yield bytes(data[:rng.choice([len(data), rng.randrange(4, len(data) + 1)])])
