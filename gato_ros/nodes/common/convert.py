"""Numpy -> ROS messages: pictures, joints, commands, stamps. The only place that does so.

The ways back are gato_ros/messages.py and pictures.py: they need no ROS; their names are here too.
Numbers go through buffers, never through lists of pixels: a list costs a thousand times as much.
"""

from __future__ import annotations

import array
from collections.abc import Sequence

import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo, Image, JointState, PointCloud2, PointField
from std_msgs.msg import Float64MultiArray

from gato_ros.messages import (
    concerns,
    joint_values,
    to_effort,
    to_ns,
    to_observation,
    to_proprioception,
)
from gato_ros.pictures import ENCODINGS, ConvertError, to_image
from gato_ros.robot import CameraSpec, RobotSpec

__all__ = ['ENCODINGS', 'Commands', 'ConvertError', 'concerns', 'controller_joints', 'from_depth',
           'from_effort', 'from_image', 'from_intrinsics', 'from_joints', 'joint_values',
           'to_effort', 'to_image', 'to_ns', 'to_observation', 'to_proprioception', 'to_stamp']


def to_stamp(ns: int) -> Time:
    """Return nanoseconds as a stamp."""
    return Time(sec=ns // 1_000_000_000, nanosec=ns % 1_000_000_000)


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


def from_joints(names: Sequence[str], positions: np.ndarray, velocities: np.ndarray,
                stamp_ns: int) -> JointState:
    """Return the joint states of N joints."""
    msg = JointState(name=list(names))
    msg.header.stamp = to_stamp(stamp_ns)
    msg.position, msg.velocity = _doubles(positions), _doubles(velocities)
    return msg


def from_effort(names: Sequence[str], effort: np.ndarray, stamp_ns: int,
                interface: str = 'effort') -> JointState:
    """Return a command as a named message with the stamp of the observation that it answers.

    interface  'effort', 'velocity' or 'position': which field of the message holds it
    """
    msg = JointState(name=list(names))
    setattr(msg, interface, _doubles(effort))
    msg.header.stamp = to_stamp(stamp_ns)
    return msg


def controller_joints(robot: RobotSpec, controller: str) -> list[int]:
    """Return where one controller's joints stand in the robot's order."""
    return [i for i, joint in enumerate(robot.joints) if joint.controller == controller]


class Commands:
    """Splits float64[N] into one message for each controller, in the controller's joint order.

    The messages are made once, for the gate's loop: each call fills the same ones anew.
    """

    def __init__(self, robot: RobotSpec) -> None:
        self._messages = {name: Float64MultiArray() for name in robot.controllers}
        self._joints = {name: np.array(controller_joints(robot, name))
                        for name in robot.controllers}

    def __call__(self, effort: np.ndarray) -> dict[str, Float64MultiArray]:
        """Return controller -> message."""
        for name, msg in self._messages.items():
            msg.data = _doubles(effort[self._joints[name]])
        return self._messages


def _doubles(values: np.ndarray) -> array.array:
    return array.array('d', np.asarray(values, np.float64).tobytes())


def _bytes(values: np.ndarray) -> array.array:
    data = array.array('B')
    data.frombytes(np.ascontiguousarray(values).data.cast('B'))
    return data
