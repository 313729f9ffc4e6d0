"""A node's subscriptions to its robot's cameras: large pictures as reliably as they are offered.

A message larger than a datagram travels in pieces, and best effort loses it with any one of them.
Small pictures stay with best effort, which reads from every kind of driver and never waits.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from gato_ros.nodes.common import qos
from gato_ros.nodes.sensing.inputs import Inputs
from gato_ros.robot import CameraSpec

MESSAGES = {'raw': Image, 'compressed': CompressedImage}  # by CameraSpec.transport
LARGE = 60_000  # bytes; a datagram holds 65,507 with its headers


class Cameras:
    """Puts what the cameras send into ``inputs``, by callbacks of ``node``."""

    def __init__(self, node: Node, inputs: Inputs) -> None:
        self._node, self._inputs = node, inputs
        self._reliable: dict[str, bool] = {}
        self._readers: dict[str, Any] = {}
        self._large: set[str] = set()
        for camera in inputs.robot.cameras:
            self._listen(camera, False)
            if camera.undistort:
                node.create_subscription(CameraInfo, camera.info_topic,
                                         partial(inputs.put_info, camera.name), qos.NEWEST)
        node.create_timer(0.25, self._adapt, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _listen(self, camera: CameraSpec, reliable: bool) -> None:
        self._reliable[camera.name] = reliable
        self._readers[camera.name] = self._node.create_subscription(
            MESSAGES[camera.transport], camera.topic, partial(self._on_image, camera.name),
            qos.pictures(reliable))

    def _on_image(self, camera: str, msg: Image | CompressedImage) -> None:
        if len(msg.data) > LARGE:
            self._large.add(camera)
        self._inputs.put_image(camera, msg)

    def _adapt(self) -> None:
        """Ask anew where large pictures are offered otherwise than they are asked for."""
        for camera in self._inputs.robot.cameras:
            if camera.name not in self._large:
                continue
            offers = self._node.get_publishers_info_by_topic(
                self._node.resolve_topic_name(camera.topic))
            reliable = bool(offers) and all(
                offer.qos_profile.reliability == ReliabilityPolicy.RELIABLE for offer in offers)
            if reliable != self._reliable[camera.name]:
                self._node.destroy_subscription(self._readers[camera.name])
                self._listen(camera, reliable)
