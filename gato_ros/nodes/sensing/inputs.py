"""From mailboxes to one observation: which picture belongs to which joint state."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState

from gato_ros.nodes.common import convert
from gato_ros.nodes.sensing.mailbox import Letter, Mailbox, Stale
from gato_ros.nodes.sensing.sight import Eye, Sight
from gato_ros.robot import RobotSpec
from gato_ros.safety.sources import Source
from gato_ros.spec import Observation

JOINT_HISTORY = 32  # messages: 0.3 s at 100 Hz, longer than a picture is under way


@dataclass(frozen=True)
class Snapshot:
    """The messages of one observation: a picture of every camera and a joint state.

    epoch  counts the backward jumps of stamps before it: another number, another episode
    """

    images: Mapping[str, Letter[Sight]]
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

    @property
    def convert_ms(self) -> float:
        """Milliseconds that the conversion of its pictures took, in whatever thread."""
        return sum(m.value.ms for m in self.images.values())

    def observation(self, robot: RobotSpec) -> Observation:
        """Convert the messages; raises ConvertError for one that cannot be used."""
        return convert.to_observation({name: m.value.image() for name, m in self.images.items()},
                                      self.joints.value, robot, self.stamp_ns)


class Inputs:
    """The mailboxes of one robot; callbacks put, one worker picks.

    lock_step  take only messages of one stamp, of whatever age: physics waits for us
    settle_s   how long to wait for messages of the same stamp before others are taken instead
    look       convert each picture as it arrives, in the callback's thread; else when asked for
    """

    def __init__(self, robot: RobotSpec, lock_step: bool = False, settle_s: float = 0.01,
                 look: bool = False) -> None:
        ages = [c.max_age_s for c in robot.cameras] + [robot.joint_states_max_age_s]
        limits = [float('inf')] * len(ages) if lock_step else ages
        self.robot = robot
        self._lock_step, self._settle_s, self._look = lock_step, settle_s, look
        self._sources = {topic: Source(topic, age, "max_age_s in the robot's YAML file",
                                       robot.disorder_s)
                         for topic, age in zip((*(c.topic for c in robot.cameras),
                                                robot.joint_states_topic), ages, strict=True)}
        self._eyes = {c.name: Eye(c) for c in robot.cameras}
        self._cameras = {c.name: Mailbox[Sight](c.topic, age, disorder_s=robot.disorder_s)
                         for c, age in zip(robot.cameras, limits, strict=False)}
        self._joints = Mailbox[JointState](robot.joint_states_topic, limits[-1], JOINT_HISTORY,
                                           disorder_s=robot.disorder_s)
        self._lock, self._arrived = threading.Lock(), threading.Event()
        self._used: Snapshot | None = None
        self._looked: dict[str, Letter[Sight]] = {}
        self._epoch, self._repeated = 0, False

    def put_image(self, camera: str, msg: Image | CompressedImage) -> None:
        """Store a picture, good or not: what is wrong with it is said when it is used."""
        with self._lock:
            eye, joints = self._eyes[camera], self._joints.newest()
            eye.still.add(msg.data, () if joints is None else joints.value.position)
            sight = eye.see(msg)
        if self._look:
            sight.look()
        self._put(self._cameras[camera], sight, msg.header.stamp)

    def put_info(self, camera: str, msg: CameraInfo) -> None:
        """Store what a camera's lens does."""
        with self._lock:
            self._eyes[camera].put_info(msg)

    def put_joints(self, msg: JointState) -> None:
        """Store a joint state of this robot; others may publish on the same topic."""
        if convert.concerns(msg, self.robot):
            self._put(self._joints, msg, msg.header.stamp)

    def _put(self, box: Mailbox, value: Sight | JointState, stamp: Time) -> None:
        stamp_ns = convert.to_ns(stamp)
        with self._lock:
            self._sources[box.source].arrived(stamp_ns, time.monotonic())
            self._repeated |= self._used is not None and stamp_ns == self._used.stamp_ns
            if box.put(value, stamp_ns):
                self._epoch += 1
                self._used = None
        self._arrived.set()

    def newest(self, camera: str) -> Letter[Sight] | None:
        """Return a camera's newest picture of whatever age, or None."""
        return self._cameras[camera].newest()

    def unseen_pictures(self) -> list[Sight]:
        """Return pictures that no call has returned yet and no used observation holds."""
        unseen = []
        for camera in self.robot.cameras:
            letter, used = self._cameras[camera.name].newest(), self._used
            if letter is not None and letter is not self._looked.get(camera.name) and (
                    used is None or used.images[camera.name] is not letter):
                self._looked[camera.name] = letter
                unseen.append(letter.value)
        return unseen

    def ages_s(self) -> dict[str, float]:
        """Return topic -> seconds since it brought a new stamp; infinite before the first."""
        now = time.monotonic()
        with self._lock:
            return {topic: source.age_s(now) for topic, source in self._sources.items()}

    def problem(self) -> str:
        """Name every source that is silent, repeats itself or jumps in time; '' for none."""
        now = time.monotonic()
        with self._lock:
            found = [source.problem(now) for source in self._sources.values()]
            found += [eye.still.problem for eye in self._eyes.values()]
        return '; '.join(filter(None, found))

    def pictures(self) -> dict[str, str]:
        """Return topic -> what its newest picture was and cost: '640x480 yuyv, 0.7 ms'."""
        return {box.source: str(letter.value) for box in self._cameras.values()
                if (letter := box.newest())}

    def duplicates(self) -> dict[str, int]:
        """Return topic -> messages so far whose stamp had come before."""
        with self._lock:
            return {topic: s.duplicates for topic, s in self._sources.items() if s.duplicates}

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
