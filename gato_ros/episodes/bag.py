"""A demonstration as it was recorded, one MCAP file, turned into an episode for training.

    done = import_bag(Path('demo.mcap'), Path('data/teleop'), load_robot('panda_sim'),
                      task='stack_wide', success=True)
    done.file, done.steps

An action carries the stamp of the observation that it answers, and that is the stamp of its oldest
picture. So every action makes one timestep, with the pictures and the joint state of its stamp.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
from safetensors import SafetensorError

import gato_ros
from gato_ros.config import ConfigError
from gato_ros.episodes.episode import SUFFIX, EpisodeInfo, EpisodeWriter, Source
from gato_ros.episodes.mcap_file import (
    IMAGE,
    JOINTS,
    BagError,
    find_file,
    read_messages,
    topics_of,
)
from gato_ros.messages import ConvertError, to_effort, to_ns, to_observation
from gato_ros.sim import load_task
from gato_ros.spec import TORQUES, Observation, RobotSpec

ACTIONS = ('sent_effort', 'proposed_effort')  # the first that was recorded is taken
NO_SEED = -1  # a recording comes from no seed of the simulator


@dataclass(frozen=True)
class Imported:
    """What became of a recording.

    steps       timesteps in the episode
    incomplete  actions that were left out, for want of a picture or of a joint state
    unanswered  pictures of the first camera after the last action, which were left out
    longest_s   longest time between two timesteps
    """

    file: Path
    steps: int
    incomplete: int
    unanswered: int
    longest_s: float


@dataclass(frozen=True)
class Recording:
    """The messages of one file, by their stamps in ns, which rise.

    images   camera -> stamp -> sensor_msgs/Image
    joints   stamp -> sensor_msgs/JointState
    actions  stamp -> sensor_msgs/JointState
    topic    where the actions come from
    """

    file: Path
    images: Mapping[str, Mapping[int, Any]]
    joints: Mapping[int, Any]
    actions: Mapping[int, Any]
    topic: str


def import_bag(bag: Path, out: Path, robot: RobotSpec, task: str, success: bool,
               source: str = 'teleoperation', namespace: str = '') -> Imported:
    """Write the episode of a recording into folder ``out``, under the recording's name.

    namespace  of the robot's topics in the recording

    Raises BagError, and then nothing is written; the recording itself is never changed.
    """
    sentence = load_task(task).sentence
    if source not in get_args(Source):
        raise ConfigError(f'source is {source!r}, expected {", ".join(get_args(Source))}')
    file = find_file(bag)
    target = out / f'{file.stem}{SUFFIX}'
    if target.exists():
        raise BagError(f'{target} exists already, expected a new name: move it or choose another '
                       'folder')
    recording = read_recording(file, robot, namespace)
    writer, stamps = EpisodeWriter(), []
    missing: dict[int, str] = {}
    for observation, effort in timesteps(recording, robot, missing):
        writer.add(observation, {TORQUES: effort}, {TORQUES: effort}, {})
        stamps.append(observation.stamp_ns)
    longest_s = _check_rhythm(recording, robot, stamps, missing)
    info = EpisodeInfo(
        robot.name, robot.timestep().hash, task, sentence, NO_SEED, cast(Source, source), success,
        version=gato_ros.__version__,
        extra={'bag': file.name, 'actions': recording.topic, 'incomplete': len(missing)})
    try:
        out.mkdir(parents=True, exist_ok=True)
        writer.save(target, info)
    except (OSError, SafetensorError) as error:
        why = getattr(error, 'strerror', None) or error
        raise BagError(f'{target} cannot be written: {why}') from error
    pictures = next(iter(recording.images.values()), recording.joints)
    return Imported(target, len(stamps), len(missing), sum(s > stamps[-1] for s in pictures),
                    longest_s)


def read_recording(file: Path, robot: RobotSpec, namespace: str = '') -> Recording:
    """Read a robot's messages.

    Raises BagError for a file that cannot be read, a topic that is missing or of another type, and
    for stamps that go back.
    """
    def name(topic: str) -> str:
        return f'{namespace}/{topic}'.strip('/')

    cameras = {camera.name: name(camera.topic) for camera in robot.cameras}
    joints = name(robot.joint_states_topic)
    found = read_messages(file, dict.fromkeys(cameras.values(), IMAGE)
                          | dict.fromkeys((joints, *map(name, ACTIONS)), JOINTS))
    actions = next((topic for topic in ACTIONS if found[name(topic)]), '')
    for topic in (*cameras.values(), joints):
        if not found[topic]:
            raise BagError(f'{file} has no message on {topic}, expected one (topics in the YAML '
                           f'file of robot {robot.name!r}); it has {_listed(file)}')
    if not actions:
        raise BagError(f'{file} has no message on {" or ".join(map(name, ACTIONS))}, expected '
                       'the actions there (from the safety and the policy node of robot '
                       f'{robot.name!r}); it has {_listed(file)}')
    stamped = {topic: _by_stamp(file, topic, messages) for topic, messages in found.items()}
    return Recording(file, {camera: stamped[topic] for camera, topic in cameras.items()},
                     stamped[joints], stamped[name(actions)], name(actions))


def timesteps(recording: Recording, robot: RobotSpec,
              missing: dict[int, str]) -> Iterator[tuple[Observation, np.ndarray]]:
    """Yield the observation of every action with the action, float64[N] in Nm.

    An action without one goes into ``missing``: its stamp, and what there was not.
    Raises BagError for a message that cannot be used.
    """
    find = _Finder(recording, robot)
    for stamp, action in recording.actions.items():
        try:
            images, joints = find.messages(stamp)
        except LookupError as error:
            missing[stamp] = str(error)
            continue
        try:
            step = (to_observation(images, joints, robot, stamp),
                    to_effort(action, robot, recording.topic))
        except ConvertError as error:
            raise BagError(f'{recording.file}, {_seconds(stamp)}: {error}') from error
        yield step


class _Finder:
    """Finds the messages of one observation."""

    def __init__(self, recording: Recording, robot: RobotSpec) -> None:
        self._recording, self._robot = recording, robot
        self._stamps = {name: list(images) for name, images in recording.images.items()}
        self._joints = list(recording.joints)

    def messages(self, stamp: int) -> tuple[dict[str, Any], Any]:
        """Return the pictures of this stamp and the joint state of this stamp or before it.

        A camera that shuts at other moments gives its first picture after the stamp, within half a
        period: later ones belong to the next observation. Raises LookupError, with a sentence, for
        a message that is missing.
        """
        images, oldest = {}, []
        half_s = 0.5 / self._robot.rate_hz
        for camera in self._robot.cameras:
            stamps = self._stamps[camera.name]
            place = bisect_left(stamps, stamp)
            if place == len(stamps) or stamps[place] - stamp > half_s * 1e9:
                raise LookupError(f'{camera.topic} has no picture of {_seconds(stamp)} or up to '
                                  f"{half_s:g} s later (half a period of rate_hz in the robot's "
                                  'YAML file)')
            oldest.append(stamps[place])
            images[camera.name] = self._recording.images[camera.name][stamps[place]]
        if min(oldest, default=stamp) != stamp:
            raise LookupError(f'no picture is stamped {_seconds(stamp)}')
        place = bisect_right(self._joints, stamp) - 1
        limit_s = self._robot.joint_states_max_age_s
        if place < 0 or stamp - self._joints[place] > limit_s * 1e9:
            raise LookupError(f'{self._robot.joint_states_topic} has nothing of '
                              f'{_seconds(stamp)} or up to {limit_s} s before '
                              "(joint_states_max_age_s in the robot's YAML file)")
        return images, self._recording.joints[self._joints[place]]


def _by_stamp(file: Path, topic: str, messages: Sequence[Any]) -> dict[int, Any]:
    """Return stamp -> message; of those with equal stamps the last, as a live node would take."""
    found: dict[int, Any] = {}
    last = None
    for msg in messages:
        stamp = to_ns(msg.header.stamp)
        if last is not None and stamp < last:
            raise BagError(f'{file}: {topic} goes back from {_seconds(last)} to '
                           f'{_seconds(stamp)}, expected rising stamps: one episode in one file')
        found[stamp] = msg
        last = stamp
    return found


def _check_rhythm(recording: Recording, robot: RobotSpec, stamps: Sequence[int],
                  missing: Mapping[int, str]) -> float:
    """Return the longest time between two steps, s; refuse no steps, another rate, and holes.

    A hole is what would have stopped the robot: longer than a period and a camera's largest age.
    """
    file = recording.file
    if not stamps:
        raise BagError(f'{file}: no action of {recording.topic} has an observation: '
                       f'{next(iter(missing.values()))}')
    if len(stamps) == 1:
        return 0.0
    period_s = 1 / robot.rate_hz
    gaps = np.diff(np.array(stamps)) * 1e-9
    if gaps.mean() < 0.75 * period_s or np.median(gaps) > 1.5 * period_s:
        raise BagError(f'{file}: the actions of {recording.topic} are {np.median(gaps):.3f} s '
                       f'apart, expected {period_s:g} s (rate_hz in the YAML file of robot '
                       f'{robot.name!r})')
    limit_s = period_s + max((c.max_age_s for c in robot.cameras),
                             default=robot.joint_states_max_age_s)
    worst = int(gaps.argmax())
    if gaps[worst] > limit_s:
        start, stop = stamps[worst], stamps[worst + 1]
        reason = next((why for stamp, why in missing.items() if start < stamp < stop),
                      f'{recording.topic} has no message between them')
        raise BagError(f'{file}: no complete step between {_seconds(start)} and {_seconds(stop)}, '
                       f"expected one within {limit_s:g} s (by rate_hz and max_age_s in the "
                       f"robot's YAML file): {reason}")
    return float(gaps.max())


def _listed(file: Path) -> str:
    return ', '.join(topics_of(file)) or 'no topics'


def _seconds(stamp_ns: int) -> str:
    return f'{stamp_ns * 1e-9:.3f} s'
