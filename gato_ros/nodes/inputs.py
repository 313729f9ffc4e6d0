"""From mailboxes to one observation: which picture belongs to which joint state."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from sensor_msgs.msg import Image, JointState

from gato_ros.nodes import convert
from gato_ros.nodes.mailbox import Letter, Mailbox, Stale
from gato_ros.spec import Observation, RobotSpec

JOINT_HISTORY = 32  # messages: 0.3 s at 100 Hz, longer than a picture is under way


@dataclass(frozen=True)
class Snapshot:
    """The messages of one observation: a picture of every camera and a joint state.

    epoch  counts the backward jumps of stamps before it: another number, another episode
    """

    images: Mapping[str, Letter[Image]]
    joints: Letter[JointState]
    epoch: int

    @property
    def letters(self) -> tuple[Letter, ...]:
        return (*self.images.values(), self.joints)

    @property
    def stamp_ns(self) -> int:
        """Stamp of the oldest picture; of the joint state without cameras."""
        return min((m.stamp_ns for m in self.images.values()), default=self.joints.stamp_ns)

    @property
    def arrived_s(self) -> float:
        """When the last picture arrived, steady clock; joint states come much more often."""
        return max((m.arrived_s for m in self.images.values()), default=self.joints.arrived_s)

    @property
    def simultaneous(self) -> bool:
        return len({m.stamp_ns for m in self.letters}) == 1

    def observation(self, robot: RobotSpec) -> Observation:
        """Convert the messages; raises ConvertError for one that cannot be used."""
        return convert.to_observation({name: m.value for name, m in self.images.items()},
                                      self.joints.value, robot, self.stamp_ns)


class Inputs:
    """The mailboxes of one robot; callbacks put, one worker picks.

    lock_step  take only messages of one stamp, of whatever age: physics waits for us
    settle_s   how long to wait for messages of the same stamp before others are taken instead
    """

    def __init__(self, robot: RobotSpec, lock_step: bool = False, settle_s: float = 0.01) -> None:
        ages = [c.max_age_s for c in robot.cameras] + [robot.joint_states_max_age_s]
        limits = [float('inf')] * len(ages) if lock_step else ages
        self.robot = robot
        self._lock_step, self._settle_s = lock_step, settle_s
        self._cameras = {c.name: Mailbox[Image](c.topic, age)
                         for c, age in zip(robot.cameras, limits, strict=False)}
        self._joints = Mailbox[JointState](robot.joint_states_topic, limits[-1], JOINT_HISTORY)
        self._lock, self._arrived = threading.Lock(), threading.Event()
        self._used: Snapshot | None = None
        self._epoch, self._repeated = 0, False

    def put_image(self, camera: str, msg: Image) -> None:
        """Store a picture."""
        self._put(self._cameras[camera], msg)

    def put_joints(self, msg: JointState) -> None:
        """Store a joint state."""
        self._put(self._joints, msg)

    def _put(self, box: Mailbox, msg: Image | JointState) -> None:
        stamp_ns = convert.to_ns(msg.header.stamp)
        with self._lock:
            self._repeated |= self._used is not None and stamp_ns == self._used.stamp_ns
            if box.put(msg, stamp_ns):
                self._epoch += 1
                self._used = None
        self._arrived.set()

    def wake(self) -> None:
        """End a wait, or skip the next one."""
        self._arrived.set()

    def wait(self, timeout_s: float) -> None:
        """Wait until anything has arrived since the last wait."""
        self._arrived.wait(timeout_s)
        self._arrived.clear()

    def take_repeat(self) -> bool:
        """Whether the used observation came again since the last call: our answer was lost."""
        with self._lock:
            repeated, self._repeated = self._repeated, False
            return repeated

    def use(self, snapshot: Snapshot) -> None:
        """Note that this observation is answered or refused; only newer ones follow."""
        with self._lock:
            self._repeated = False
            if snapshot.epoch == self._epoch:  # else nothing of the new time has been used yet
                self._used = snapshot

    def pick(self) -> Snapshot | None:
        """Return the newest complete observation, or None while nothing new is complete.

        The joint state is the one with the pictures' stamp if it has come, else the newest.
        Raises Stale when a source is silent for too long or too far from the others.
        """
        now = time.monotonic()
        with self._lock:
            images = {name: box.fresh(now) for name, box in self._cameras.items()}
            newest = self._joints.fresh(now)
            stamp_ns = min((m.stamp_ns for m in images.values()), default=newest.stamp_ns)
            snapshot = Snapshot(images, self._joints.at(stamp_ns) or newest, self._epoch)
            if self._used and any(
                    m.stamp_ns <= u.stamp_ns
                    for m, u in zip(snapshot.letters, self._used.letters, strict=True)):
                return None
            if snapshot.simultaneous:
                return snapshot
            if self._lock_step or now - snapshot.arrived_s < self._settle_s:
                return None
            self._check_spread(snapshot)
            return snapshot

    def _check_spread(self, snapshot: Snapshot) -> None:
        """Refuse pictures that are far from the joint state: a camera lags or a clock is wrong."""
        for camera in self.robot.cameras:
            gap = (snapshot.images[camera.name].stamp_ns - snapshot.joints.stamp_ns) * 1e-9
            if abs(gap) > camera.max_age_s:
                raise Stale(f'{camera.topic}: the picture is stamped {gap:+.2f} s from '
                            f'{self.robot.joint_states_topic}, expected within '
                            f"{camera.max_age_s} s (max_age_s in the robot's YAML file)")
