"""From mailboxes to one observation: which picture belongs to which joint state."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sensor_msgs.msg import Image, JointState

from gato_ros.nodes.common import convert
from gato_ros.nodes.common.mailbox import Letter, Mailbox, Stale
from gato_ros.robot import CameraSpec, RobotSpec
from gato_ros.safety.sources import Source
from gato_ros.spec import Observation

STILL_PICTURES, STILL_RAD = 10, 0.05  # so many equal pictures while a joint moves so far
REMEMBERED = 60  # pictures: 3 s at 20 Hz
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


class StillPicture:
    """Notices a camera that sends one picture again and again while the arm moves.

    An arm at rest tells nothing, so the problem lapses ``REMEMBERED`` pictures after a motion. If
    it did not, one that came of wrong joint states could never be cleared.
    """

    def __init__(self, topic: str) -> None:
        self._topic, self.problem = topic, ''
        self._data: object = None
        self._count = 0
        self._places: deque[np.ndarray] = deque(maxlen=REMEMBERED)

    def add(self, data: object, positions: Sequence[float]) -> None:
        """Compare a picture's bytes with the last one's; ``positions`` are the joints', rad."""
        if data != self._data:
            self._data, self._count = data, 0
            self._places.clear()
        self._count += 1
        place = np.asarray(positions, np.float64)
        if self._places and place.shape != self._places[0].shape:
            self._places.clear()
        if np.isfinite(place).all():
            self._places.append(place)
        moved = (np.ptp(np.array(self._places), axis=0).max(initial=0.0)
                 if self._count > STILL_PICTURES and len(self._places) > 1 else 0.0)
        self.problem = '' if moved <= STILL_RAD else (
            f'{self._topic}: the same picture {self._count} times while the arm moves, expected a '
            'camera that sees')


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
        self._sources = {topic: Source(topic, age, "max_age_s in the robot's YAML file")
                         for topic, age in zip((*(c.topic for c in robot.cameras),
                                                robot.joint_states_topic), ages, strict=True)}
        self._still = {c.name: StillPicture(c.topic) for c in robot.cameras}
        self._cameras = {c.name: Mailbox[Image](c.topic, age)
                         for c, age in zip(robot.cameras, limits, strict=False)}
        self._joints = Mailbox[JointState](robot.joint_states_topic, limits[-1], JOINT_HISTORY)
        self._lock, self._arrived = threading.Lock(), threading.Event()
        self._used: Snapshot | None = None
        self._looked: dict[str, Letter[Image]] = {}
        self._epoch, self._repeated = 0, False

    def put_image(self, camera: str, msg: Image) -> None:
        """Store a picture."""
        with self._lock:
            joints = self._joints.newest()
            self._still[camera].add(msg.data, () if joints is None else joints.value.position)
        self._put(self._cameras[camera], msg)

    def put_joints(self, msg: JointState) -> None:
        """Store a joint state."""
        self._put(self._joints, msg)

    def _put(self, box: Mailbox, msg: Image | JointState) -> None:
        stamp_ns = convert.to_ns(msg.header.stamp)
        with self._lock:
            self._sources[box.source].arrived(stamp_ns, time.monotonic())
            self._repeated |= self._used is not None and stamp_ns == self._used.stamp_ns
            if box.put(msg, stamp_ns):
                self._epoch += 1
                self._used = None
        self._arrived.set()

    def newest(self, camera: str) -> Letter[Image] | None:
        """Return a camera's newest picture of whatever age, or None."""
        return self._cameras[camera].newest()

    def unseen_pictures(self) -> list[tuple[CameraSpec, Image]]:
        """Return pictures that no call has returned yet and no used observation holds."""
        unseen = []
        for camera in self.robot.cameras:
            letter, used = self._cameras[camera.name].newest(), self._used
            if letter is not None and letter is not self._looked.get(camera.name) and (
                    used is None or used.images[camera.name] is not letter):
                self._looked[camera.name] = letter
                unseen.append((camera, letter.value))
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
            found += [still.problem for still in self._still.values()]
        return '; '.join(filter(None, found))

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
