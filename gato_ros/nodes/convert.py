"""Messages <-> numpy: pictures, joints by name, commands, stamps. The only place that does so.

Numbers go through buffers, never through lists of pixels: a list costs a thousand times as much.
"""

from __future__ import annotations

import array
from collections.abc import Sequence

import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo, Image, JointState, PointCloud2, PointField
from std_msgs.msg import Float64MultiArray

from gato_ros.spec import POSITIONS, VELOCITIES, CameraSpec, RobotSpec

# encoding -> channels in the message, and which of them are red, green and blue
ENCODINGS = {'rgb8': (3, (0, 1, 2)), 'bgr8': (3, (2, 1, 0)), 'rgba8': (4, (0, 1, 2)),
             'bgra8': (4, (2, 1, 0)), 'mono8': (1, (0, 0, 0))}


class ConvertError(ValueError):
    """A message that cannot be used; one sentence with value, expectation and place."""


def to_ns(stamp: Time) -> int:
    """Return a stamp in nanoseconds."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def to_stamp(ns: int) -> Time:
    """Return nanoseconds as a stamp."""
    return Time(sec=ns // 1_000_000_000, nanosec=ns % 1_000_000_000)


def to_image(msg: Image, camera: CameraSpec) -> np.ndarray:
    """Return uint8[H, W, 3] in RGB; for rgb8 a view that shares the message's memory.

    Raises ConvertError for an unknown encoding, another size or too little data.
    """
    if msg.encoding not in ENCODINGS:
        raise ConvertError(f'{camera.topic}: the encoding is {msg.encoding!r}, expected '
                           f'{", ".join(ENCODINGS)} (set it in the camera driver)')
    if (msg.height, msg.width) != (camera.height, camera.width):
        raise ConvertError(f'{camera.topic}: the image is {msg.height}x{msg.width}, expected '
                           f'{camera.height}x{camera.width} (height x width of camera '
                           f"{camera.name!r} in the robot's YAML file)")
    channels, order = ENCODINGS[msg.encoding]
    row = camera.width * channels
    data = np.frombuffer(msg.data, np.uint8)
    if msg.step < row or data.size != msg.step * msg.height:
        raise ConvertError(f'{camera.topic}: {data.size} bytes with a step of {msg.step}, '
                           f'expected {msg.height} rows of {row} bytes or more (set by the camera '
                           'driver)')
    pixels = data.reshape(msg.height, msg.step)[:, :row].reshape(msg.height, msg.width, channels)
    if msg.encoding == 'rgb8':
        return pixels
    return np.ascontiguousarray(pixels[:, :, order])


def from_image(image: np.ndarray, stamp_ns: int, frame_id: str) -> Image:
    """Return an rgb8 message of uint8[H, W, 3]."""
    height, width, _ = image.shape
    msg = Image(height=height, width=width, encoding='rgb8', step=3 * width)
    msg.header.stamp = to_stamp(stamp_ns)
    msg.header.frame_id = frame_id
    msg.data = _bytes(image)
    return msg


def from_intrinsics(camera: CameraSpec, fovy_rad: float, stamp_ns: int,
                    frame_id: str) -> CameraInfo:
    """Return the CameraInfo of a pinhole camera without distortion."""
    focal = camera.height / 2 / np.tan(fovy_rad / 2)  # pixels; they are square
    u, v = (camera.width - 1) / 2, (camera.height - 1) / 2  # whole numbers are pixels' centres
    msg = CameraInfo(height=camera.height, width=camera.width, distortion_model='plumb_bob')
    msg.header.stamp = to_stamp(stamp_ns)
    msg.header.frame_id = frame_id
    msg.d = [0.0] * 5
    msg.k = [focal, 0.0, u, 0.0, focal, v, 0.0, 0.0, 1.0]
    msg.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    msg.p = [focal, 0.0, u, 0.0, 0.0, focal, v, 0.0, 0.0, 0.0, 1.0, 0.0]
    return msg


def from_depth(depth: np.ndarray, info: CameraInfo) -> PointCloud2:
    """Return depth along the optical axis, float[H, W] in m, as an organised cloud."""
    height, width = depth.shape
    rows, columns = np.indices(depth.shape)
    points = np.stack([(columns - info.k[2]) / info.k[0] * depth,
                       (rows - info.k[5]) / info.k[4] * depth, depth], axis=-1)
    msg = PointCloud2(header=info.header, height=height, width=width, is_dense=True,
                      point_step=12, row_step=12 * width)
    msg.fields = [PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1)
                  for i, name in enumerate('xyz')]
    msg.data = _bytes(points.astype(np.float32))
    return msg


def joint_values(msg: JointState, names: Sequence[str], part: str, source: str) -> np.ndarray:
    """Return float64[N] of ``part`` ('position', 'velocity', 'effort') in the order of ``names``.

    Joints are found by name; those that are not asked for are ignored.
    Raises ConvertError for a missing or repeated name, a missing value or one that is not finite.
    """
    where = {name: i for i, name in enumerate(msg.name)}
    values = getattr(msg, part)
    if len(where) != len(msg.name):
        twice = sorted({name for name in msg.name if msg.name.count(name) > 1})
        raise ConvertError(f'{source}: joint names repeat: {", ".join(twice)}')
    missing = [name for name in names if name not in where]
    if missing:
        raise ConvertError(f'{source}: {", ".join(missing)} missing, expected the joint names of '
                           f"the robot's YAML file; received {', '.join(msg.name) or 'none'}")
    if len(values) != len(msg.name):
        raise ConvertError(f'{source}: {len(values)} values of {part}, expected one for each of '
                           f'its {len(msg.name)} names')
    vector = np.array([values[where[name]] for name in names], np.float64)
    if not np.isfinite(vector).all():
        bad = next(i for i, value in enumerate(vector) if not np.isfinite(value))
        raise ConvertError(f'{source}: the {part} of {names[bad]} is {vector[bad]}, expected a '
                           'finite number')
    return vector


def to_proprioception(msg: JointState, robot: RobotSpec) -> dict[str, np.ndarray]:
    """Return the continuous fields of an observation: positions and velocities by name."""
    moving = [joint.name for joint in robot.joints if joint.observe_velocity]
    source = robot.joint_states_topic
    return {POSITIONS: joint_values(msg, robot.joint_names, 'position', source),
            VELOCITIES: joint_values(msg, moving, 'velocity', source)}


def from_joints(names: Sequence[str], positions: np.ndarray, velocities: np.ndarray,
                stamp_ns: int) -> JointState:
    """Return the joint states of N joints."""
    msg = JointState(name=list(names))
    msg.header.stamp = to_stamp(stamp_ns)
    msg.position, msg.velocity = _doubles(positions), _doubles(velocities)
    return msg


def to_effort(msg: JointState, robot: RobotSpec, source: str) -> np.ndarray:
    """Return float64[N] of a proposal or of what was sent; its names must be the robot's.

    Raises ConvertError as joint_values does, and for a name that the robot does not have.
    """
    unknown = [name for name in msg.name if name not in robot.joint_names]
    if unknown:
        raise ConvertError(f'{source}: {", ".join(unknown)} unknown, expected '
                           f'{", ".join(robot.joint_names)} (the robot of this node)')
    return joint_values(msg, robot.joint_names, 'effort', source)


def from_effort(names: Sequence[str], effort: np.ndarray, stamp_ns: int) -> JointState:
    """Return an effort as a named message with the stamp of the observation that it answers."""
    msg = JointState(name=list(names), effort=_doubles(effort))
    msg.header.stamp = to_stamp(stamp_ns)
    return msg


def controller_joints(robot: RobotSpec, controller: str) -> list[int]:
    """Return where one controller's joints stand in the robot's order."""
    return [i for i, joint in enumerate(robot.joints) if joint.controller == controller]


def to_commands(effort: np.ndarray, robot: RobotSpec) -> dict[str, Float64MultiArray]:
    """Split float64[N] into one message for each controller, in the controller's joint order."""
    return {name: Float64MultiArray(data=_doubles(effort[controller_joints(robot, name)]))
            for name in robot.controllers}


def _doubles(values: np.ndarray) -> array.array:
    return array.array('d', np.asarray(values, np.float64).tobytes())


def _bytes(values: np.ndarray) -> array.array:
    data = array.array('B')
    data.frombytes(np.ascontiguousarray(values).data.cast('B'))
    return data
