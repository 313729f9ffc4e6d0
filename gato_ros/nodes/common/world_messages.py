"""What a world without a robot says and hears: topics, and timesteps as messages and back.

    world/episode        String, JSON: EPISODE; the newest wait for whoever comes late
    world/state          JointState: numbers of the observation, position[i] of name[i], which is
                         FIELD.NAME; there is one for each timestep, without numbers too
    world/NAME/image_raw Image: a picture that the policy sees
    world/picture        Image: what people see
    world/joy            Joy: choices. For each choice of each value of each discrete field, in
                         the specification's order, a button: 1 for the one that is pressed
    world/command        JointState: numbers of the action, position[i] of name[i], FIELD.NAME

All messages of a timestep have its stamp; header.frame_id of the state is the episode's number.
An answer has the stamp of what it answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from sensor_msgs.msg import JointState, Joy

from gato_ros.nodes.common import convert
from gato_ros.robot import CameraSpec
from gato_ros.spec import ContinuousField, DiscreteField, ImageField, TimestepSpec

STATE, EPISODE_TOPIC, PICTURE = 'world/state', 'world/episode', 'world/picture'
JOY, COMMAND = 'world/joy', 'world/command'
# What is said of an episode at its start and its end. episode: its number, unlike any other's;
# source and spec: what checkpoints call its specification, and its hash; status: running, success,
# failed or ended (there is a score alone).
EPISODE = {'episode': int, 'domain': str, 'source': str, 'spec': str, 'task': str, 'seed': int,
           'sentence': str, 'status': str, 'failure': str, 'score': float, 'steps': int}
Fields = Sequence[ContinuousField | DiscreteField]
Values = Mapping[str, np.ndarray]


def camera_of(field: ImageField) -> CameraSpec:
    """Return the camera behind a picture that a policy sees."""
    name = re.sub(r'\W', '_', field.name)
    return CameraSpec(field.name, f'world/{name}/image_raw', field.height, field.width,
                      resize='never')


def from_numbers(fields: Fields, values: Values, stamp_ns: int, frame_id: str = '') -> JointState:
    """Return float64[n] or int64[n] of each field as one message."""
    msg = JointState(name=[name for _, name in _names(fields)])
    msg.header.stamp, msg.header.frame_id = convert.to_stamp(stamp_ns), frame_id
    msg.position = [float(value) for field in fields for value in values[field.name]]
    return msg


def to_numbers(msg: JointState, fields: Fields, topic: str) -> dict[str, np.ndarray]:
    """Return each field's values; ConvertError for what is missing or no number."""
    if not fields:
        return {}
    values = convert.joint_values(msg, [name for _, name in _names(fields)], 'position', topic)
    ends = np.cumsum([field.size for field in fields])[:-1]
    return {field.name: part.astype(np.int64) if isinstance(field, DiscreteField) else part
            for field, part in zip(fields, np.split(values, ends), strict=True)}


def from_buttons(fields: Sequence[DiscreteField], values: Values, stamp_ns: int) -> Joy:
    """Return int64[n] of each field as pressed buttons."""
    msg = Joy()
    msg.header.stamp = convert.to_stamp(stamp_ns)
    msg.buttons = [int(choice == value) for field in fields for value in values[field.name]
                   for choice in range(field.count)]
    return msg


def to_buttons(msg: Joy, fields: Sequence[DiscreteField], topic: str = JOY
               ) -> dict[str, np.ndarray]:
    """Return int64[n] of each field; ConvertError unless each value has one button pressed."""
    counts = [field.count for field in fields for _ in range(field.size)]
    if len(msg.buttons) != sum(counts):
        raise convert.ConvertError(f'{topic}: {len(msg.buttons)} buttons, expected {sum(counts)}: '
                                   'one for each choice')
    chosen, start = [], 0
    for (_, name), count in zip(_names(fields), counts, strict=True):
        pressed = np.flatnonzero(msg.buttons[start:start + count])
        if len(pressed) != 1:
            raise convert.ConvertError(f'{topic}: {len(pressed)} buttons of {name} are pressed, '
                                       f'expected one of {count}')
        chosen.append(int(pressed[0]))
        start += count
    ends = np.cumsum([field.size for field in fields])[:-1]
    return {field.name: part for field, part in zip(
        fields, np.split(np.array(chosen, np.int64), ends), strict=True)}


def choices(spec: TimestepSpec) -> list[DiscreteField]:
    """Return the action fields that ``world/joy`` holds."""
    return [field for field in spec.actions if isinstance(field, DiscreteField)]


def amounts(spec: TimestepSpec) -> list[ContinuousField]:
    """Return the action fields that ``world/command`` holds."""
    return [field for field in spec.actions if isinstance(field, ContinuousField)]


def _names(fields: Fields) -> Iterator[tuple[ContinuousField | DiscreteField, str]]:
    for field in fields:
        for name in field.names:
            yield field, f'{field.name}.{name}'
