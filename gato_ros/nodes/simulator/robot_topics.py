"""What a robot publishes, from the simulator: the clock, joint states and cameras."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState, PointCloud2

from gato_ros.config import ConfigError
from gato_ros.domains.stacking.env import StackingEnv
from gato_ros.nodes.common import convert, qos
from gato_ros.nodes.common.params import frame_prefix
from gato_ros.robot import CameraSpec, RobotSpec
from gato_ros.spec import Observation


class RobotTopics:
    """Publishes with equal stamps, the clock first; used by the thread that owns the environment.

    points  also publish the first camera's depth as PointCloud2, on ``points`` beside its picture
    """

    def __init__(self, node: Node, robot: RobotSpec, points: bool = False) -> None:
        for camera in robot.cameras:
            if dataclasses.replace(camera, resize='never') != camera.finished:
                raise ConfigError(
                    f'camera {camera.name!r}: the simulator sends finished pictures, expected '
                    "transport, encoding, undistort, crop and rotate unset in the robot's YAML "
                    'file, or a file of its own for the simulation')
        self._robot = robot
        self._prefix = frame_prefix(node)
        self._node = node
        self._clock = node.create_publisher(Clock, 'clock', qos.CLOCK)
        self._joint_states = node.create_publisher(JointState, robot.joint_states_topic,
                                                   qos.SENSORS)
        self._images = {c.name: node.create_publisher(Image, c.topic, qos.SENSORS)
                        for c in robot.cameras}
        self._infos = {c.name: node.create_publisher(CameraInfo, _beside(c, 'camera_info'),
                                                     qos.SENSORS) for c in robot.cameras}
        self._points = node.create_publisher(
            PointCloud2, _beside(robot.cameras[0], 'points'), qos.SENSORS) if points else None
        self._depth: Any = None

    def rivals(self) -> str:
        """Return who else keeps this clock, in one sentence; '' when nobody does."""
        topic = self._clock.topic_name
        found = self._node.get_publishers_info_by_topic(topic)
        if len(found) < 2:
            return ''
        return (f'{len(found)} nodes publish on {topic}, expected this simulator alone: start '
                'each in a namespace of its own (namespace:=left of sim.launch.py), behind which '
                'its clock is /left/clock')

    def publish_joints(self, env: StackingEnv) -> None:
        """Publish the clock and the joint states of this moment."""
        world = env.world
        stamp_ns = round(world.data.time * 1e9)
        self._clock.publish(Clock(clock=convert.to_stamp(stamp_ns)))
        self._joint_states.publish(convert.from_joints(
            self._robot.joint_names, world.joint_positions, world.joint_velocities, stamp_ns))

    def publish(self, env: StackingEnv, observation: Observation) -> None:
        """Publish the clock, joint states and pictures of this moment."""
        self.publish_joints(env)
        for camera in self._robot.cameras:
            frame = self._prefix + camera.frame
            fovy = np.radians(env.world.model.camera(camera.name).fovy[0])
            info = convert.from_intrinsics(camera, fovy, observation.stamp_ns, frame)
            self._images[camera.name].publish(convert.from_image(
                observation.images[camera.name], observation.stamp_ns, frame))
            self._infos[camera.name].publish(info)
            if self._points is not None and camera is self._robot.cameras[0]:
                self._points.publish(convert.from_depth(self._render_depth(env, camera), info))

    def close(self) -> None:
        """Free the depth camera, in the thread that has used it."""
        if self._depth is not None:
            self._depth.close()

    def _render_depth(self, env: StackingEnv, camera: CameraSpec) -> np.ndarray:
        """Return float32[H, W] in m along the optical axis."""
        if self._depth is None:
            import mujoco

            self._depth = mujoco.Renderer(env.world.model, camera.height, camera.width)
            self._depth.enable_depth_rendering()
        self._depth.update_scene(env.world.data, camera.name)
        return self._depth.render()


def _beside(camera: CameraSpec, name: str) -> str:
    """Return a topic in the namespace of a camera's picture."""
    return f'{camera.topic.rpartition("/")[0]}/{name}'
