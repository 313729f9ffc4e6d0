"""What RViz, Foxglove and tf need to show a robot: its description, its frames, what moves it.

    in   the robot's joint states; sent_effort, proposed_effort
    out  robot_description   String, latched: a URDF, as robot_state_publisher takes and gives it
         /tf, /tf_static     the arm's frames, cameras' bodies and optical frames
         sent_wrench, proposed_wrench    WrenchStamped, one for each joint, in the frame behind it
         workspace           MarkerArray, latched: the box that the tool stays in

Behind a namespace all frames carry it (``left/base``), as with robot_state_publisher's
frame_prefix. Where tf2_msgs or visualization_msgs is missing, what needs it is left out.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from geometry_msgs.msg import TransformStamped, WrenchStamped
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from gato_ros.config import ConfigError
from gato_ros.descriptions.arm import Arm
from gato_ros.descriptions.frames import Frames, Placed, chain_urdf
from gato_ros.descriptions.urdf import arm_of, read_urdf
from gato_ros.episodes.recordings.topics import DESCRIPTION
from gato_ros.nodes.common import convert, qos
from gato_ros.nodes.common.listen import listen
from gato_ros.nodes.common.params import ROBOT, Param, declare, frame_prefix
from gato_ros.nodes.common.run import run
from gato_ros.robot import load_robot
from gato_ros.untrusted import MIB, Refused, parse_xml, read_text

MOST_HZ = 50.0  # of /tf
LARGEST_URDF = MIB  # of a robot_description
GREEN = (0.2, 0.8, 0.3, 0.15)  # red, green, blue, opacity of the workspace
PARAMS = (
    ROBOT,
    Param('urdf', '', "A URDF file; '': one is written from the robot's kinematics."),
    Param('describe', True, "Publish robot_description and the arm's frames. False: the robot's "
          'own driver does, and its robot_description says what hangs on what.'),
)


class FramesNode(Node):
    """Callbacks only; nothing here is needed to move a robot."""

    def __init__(self) -> None:
        super().__init__('frames')
        params = declare(self, PARAMS)
        self.failure: BaseException | None = None
        self._robot = robot = load_robot(params.robot)
        self._prefix = frame_prefix(self)
        self._describe = params.describe
        self._frames: Frames | None = None  # until a driver's description is here
        self._positions: dict[str, float] = {}
        self._sent_s = 0.0
        self._tf2 = self._package('tf2_msgs', '/tf and /tf_static')
        self._markers = (self._package('visualization_msgs', 'workspace') if robot.workspace
                         else None)
        if params.describe:
            arm = read_urdf(Path(params.urdf)) if params.urdf else None
            self._description = self.create_publisher(String, DESCRIPTION, qos.LATCHED)
            if text := self._text(params.urdf, arm):
                self._description.publish(String(data=text))
            self._start(Frames(robot, arm))
        else:
            listen(self, String, DESCRIPTION, self._on_description, qos.LATCHED, LARGEST_URDF)
        for topic, wrenches in (('sent_effort', 'sent_wrench'),
                                ('proposed_effort', 'proposed_wrench')):
            publisher = self.create_publisher(WrenchStamped, wrenches, qos.RECORD)
            listen(self, JointState, topic, partial(self._on_effort, publisher), qos.EVENTS)

    def close(self) -> None:
        """Nothing is open."""

    def _text(self, file: str, arm: Arm | None) -> str:
        """Return the description; '' and a sentence where there is none."""
        if arm is not None:
            return read_text(Path(file))
        try:
            return chain_urdf(self._robot)
        except ConfigError as error:
            self.get_logger().warning(f'no robot_description: {error}')
            return ''

    def _package(self, name: str, without: str) -> ModuleType | None:
        try:
            return importlib.import_module(f'{name}.msg')
        except ModuleNotFoundError:
            self.get_logger().warning(
                f'{without} will not be published: the package {name} is not installed, expected '
                f'it from apt (ros-$ROS_DISTRO-{name.replace("_", "-")})')
            return None

    def _on_description(self, msg: String) -> None:
        """Hang cameras and wrenches on the links that the robot's driver describes."""
        if self._frames is not None:
            return
        try:
            root = parse_xml(msg.data)
            moved = [joint.get('name', '') for joint in root.findall('joint')
                     if joint.find('mimic') is not None]  # by another joint: as if it were fixed
            self._start(Frames(self._robot, arm_of(root, DESCRIPTION, moved)))
        except (ConfigError, Refused) as error:
            self.get_logger().error(f'no frames of cameras, no wrenches: {error}')

    def _start(self, frames: Frames) -> None:
        """Publish what never moves, and from now on what does."""
        self._frames = frames
        if self._tf2 is not None:
            kind = self._tf2.TFMessage
            fixed = [placed for placed in frames.fixed
                     if self._describe or placed.child.startswith('camera_')]
            self._static = self.create_publisher(kind, '/tf_static', qos.LATCHED)
            self._static.publish(kind(transforms=self._transforms(
                fixed, self.get_clock().now().nanoseconds)))
            if self._describe and frames.axes:
                self._tf = self.create_publisher(kind, '/tf', qos.RECORD)
                listen(self, JointState, self._robot.joint_states_topic,
                       partial(self._on_joints, frames, kind), qos.NEWEST)
        if self._markers is not None:
            self._box = self.create_publisher(self._markers.MarkerArray, 'workspace', qos.LATCHED)
            self._box.publish(self._workspace(frames, self._markers))

    def _on_joints(self, frames: Frames, kind: Any, msg: JointState) -> None:
        self._positions |= {name: value for name, value in zip(
            msg.name, msg.position, strict=False) if np.isfinite(value)}  # some have no positions
        if time.monotonic() - self._sent_s < 1.0 / MOST_HZ:
            return
        self._sent_s = time.monotonic()
        self._tf.publish(kind(transforms=self._transforms(
            frames.moving(self._positions), convert.to_ns(msg.header.stamp))))

    def _transforms(self, frames: Sequence[Placed], stamp_ns: int) -> list[TransformStamped]:
        found = []
        for placed in frames:
            msg = TransformStamped(child_frame_id=self._prefix + placed.child)
            msg.header.stamp = convert.to_stamp(stamp_ns)
            msg.header.frame_id = self._prefix + placed.parent
            place, turn = msg.transform.translation, msg.transform.rotation
            place.x, place.y, place.z = placed.xyz
            turn.x, turn.y, turn.z, turn.w = placed.quaternion
            found.append(msg)
        return found

    def _on_effort(self, publisher: Any, msg: JointState) -> None:
        """Show efforts where they act; commands of another kind have none."""
        if (self._frames is None or len(msg.effort) != len(msg.name)
                or not publisher.get_subscription_count()):
            return
        for name, effort in zip(msg.name, msg.effort, strict=True):
            if name not in self._frames.axes or not np.isfinite(effort):
                continue
            link, axis, slides = self._frames.axes[name]
            wrench = WrenchStamped(header=msg.header)
            wrench.header.frame_id = self._prefix + link
            part = wrench.wrench.force if slides else wrench.wrench.torque
            part.x, part.y, part.z = (float(value) for value in effort * axis)
            publisher.publish(wrench)

    def _workspace(self, frames: Frames, kinds: Any) -> Any:
        box = self._robot.workspace
        assert box is not None
        low, high = np.array(box.low), np.array(box.high)
        marker = kinds.Marker(type=kinds.Marker.CUBE, action=kinds.Marker.ADD, ns='workspace')
        marker.header.frame_id = self._prefix + frames.root
        place, size, colour = marker.pose.position, marker.scale, marker.color
        place.x, place.y, place.z = (float(value) for value in (low + high) / 2)
        marker.pose.orientation.w = 1.0
        size.x, size.y, size.z = (float(value) for value in high - low)
        colour.r, colour.g, colour.b, colour.a = GREEN
        return kinds.MarkerArray(markers=[marker])


def main() -> int:
    """Run the node's process."""
    return run(FramesNode)


if __name__ == '__main__':
    sys.exit(main())
