"""A demonstration as it was recorded, one MCAP file, turned into an episode for training.

    done = import_bag(Path('demo.mcap'), Path('data/teleop'), load_robot('panda_sim'),
                      success=True)
    done.file, done.steps

Where the marks say that a person acted, only a person's steps become timesteps: pauses would teach
to stand still, and what a policy did before somebody took over would teach its mistakes.

An action carries the stamp of the observation that it answers, and that is the stamp of its oldest
picture. So every action makes one timestep, with the pictures and the joint state of its stamp.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
from safetensors import SafetensorError

import gato_ros
from gato_ros.config import ConfigError
from gato_ros.episodes.episode import (
    HOLES,
    SUFFIX,
    EpisodeInfo,
    EpisodeWriter,
    Source,
)
from gato_ros.episodes.hindsight import labels
from gato_ros.episodes.recordings.actors import PERSON, read_actors
from gato_ros.episodes.recordings.alignment import Alignment, Skew
from gato_ros.episodes.recordings.alignment import seconds as _seconds
from gato_ros.episodes.recordings.definitions import CAMERA_INFO
from gato_ros.episodes.recordings.mcap_file import (
    BagError,
    find_file,
    read_about,
    read_logged,
    read_messages,
    topics_of,
)
from gato_ros.episodes.recordings.ranges import range_fault
from gato_ros.episodes.recordings.rhythm import Rhythm, by_stamp, judge
from gato_ros.episodes.recordings.topics import ACTIONS, finished, observed
from gato_ros.messages import concerns, to_effort, to_observation
from gato_ros.pictures import Calibration, ConvertError, to_calibration, to_image
from gato_ros.robot import POSITIONS, CameraSpec, RobotSpec
from gato_ros.spec import Observation

NO_SEED = -1  # a recording comes from no seed of the simulator


@dataclass(frozen=True)
class Imported:
    """What became of a recording.

    steps       timesteps in the episode
    incomplete  actions that were left out, for want of a picture or of a joint state
    unanswered  pictures of the first camera after the last action, which were left out
    others      steps beside a person's, in which a policy acted or nobody, which were left out
    longest_s   longest time between two timesteps
    blind       share of the time from the first to the last action without an observation
    skew        how far apart the messages of its steps lie
    """

    file: Path
    steps: int
    incomplete: int
    unanswered: int
    others: int
    longest_s: float
    blind: float
    skew: Skew


@dataclass(frozen=True)
class Picture:
    """What the policy saw of a camera's message, uint8[H, W, 3], or why it can see nothing."""

    header: Any
    seen: np.ndarray | ConvertError

    def image(self) -> np.ndarray:
        """Return the picture; raises ConvertError for a message that cannot be used."""
        if isinstance(self.seen, ConvertError):
            raise self.seen
        return self.seen


@dataclass(frozen=True)
class Recording:
    """The messages of one file, by their stamps in ns, which rise.

    images   camera -> stamp -> picture
    joints   stamp -> sensor_msgs/JointState
    actions  stamp -> sensor_msgs/JointState
    topic    where the actions come from
    """

    file: Path
    images: Mapping[str, Mapping[int, Picture]]
    joints: Mapping[int, Any]
    actions: Mapping[int, Any]
    topic: str

    def sensors(self, robot: RobotSpec) -> dict[str, list[int]]:
        """Return topic -> stamps in ns of what the policy sees."""
        return {camera.topic: list(self.images[camera.name]) for camera in robot.cameras} | {
            robot.joint_states_topic: list(self.joints)}


@dataclass(frozen=True)
class Demonstration:
    """A recording that may become training data.

    steps    (observation, command float64[N] in the interface's unit) in order
    missing  stamp -> why there is no observation for the action of this stamp
    """

    recording: Recording
    steps: Sequence[tuple[Observation, np.ndarray]]
    missing: Mapping[int, str]
    rhythm: Rhythm
    skew: Skew


def import_bag(bag: Path, out: Path, robot: RobotSpec, task: str = '', sentence: str = '',
               success: bool | None = None, source: str = '',
               namespace: str = '', in_hindsight: bool = False) -> Imported:
    """Write the episode of a recording into folder ``out``, under the recording's name.

    task, sentence  what it shows, as a name and in words; '': what our recorder has noted
    success, source '' and None: what our recorder has noted
    namespace       of the robot's topics in the recording
    in_hindsight    whether its labels are where the hand went, see hindsight.py, and not the
                    commands as they were sent, which the episode holds in either case

    Raises BagError, and then nothing is written; the recording itself is never changed.
    """
    file = find_file(bag)
    target = out / f'{file.stem}{SUFFIX}'
    if target.exists():
        raise BagError(f'{target} exists already, expected a new name: move it or choose another '
                       'folder')
    about = read_about(file)
    task, sentence = _task(file, about, task, sentence)
    source = source or about.get('source', '') or 'teleoperation'
    if source not in get_args(Source):
        raise ConfigError(f'source is {source!r}, expected {", ".join(get_args(Source))}')
    success = _outcome(file, about) if success is None else success
    demonstration = read_demonstration(file, robot, namespace, about)
    recording, writer = demonstration.recording, EpisodeWriter()
    actors = read_actors(file, namespace)
    steps = [(seen, command) for seen, command in demonstration.steps
             if not actors.person or actors.at(seen.stamp_ns) == PERSON]
    if not steps:
        raise BagError(f'{file}: a person acted in none of {len(demonstration.steps)} steps, '
                       'expected one at least')
    others = len(demonstration.steps) - len(steps)
    wanted = _in_hindsight(robot, steps) if in_hindsight else [command for _, command in steps]
    action = robot.command_field
    for (observation, command), label in zip(steps, wanted, strict=True):
        writer.add(observation, {action: label}, {action: command}, {})
    info = EpisodeInfo(
        robot.name, robot.timestep().hash, task, sentence, NO_SEED, cast(Source, source), success,
        version=gato_ros.__version__,
        extra={'bag': file.name, 'actions': recording.topic, 'in_hindsight': in_hindsight,
               'incomplete': len(demonstration.missing), 'others': others,
               HOLES: _holes(robot, steps).tolist(),
               'skew': asdict(demonstration.skew)})
    try:
        out.mkdir(parents=True, exist_ok=True)
        writer.save(target, info)
    except (OSError, SafetensorError) as error:
        why = getattr(error, 'strerror', None) or error
        raise BagError(f'{target} cannot be written: {why}') from error
    pictures = next(iter(recording.images.values()), recording.joints)
    last = demonstration.steps[-1][0].stamp_ns
    return Imported(target, len(steps), len(demonstration.missing),
                    sum(s > last for s in pictures), others, demonstration.rhythm.longest_s,
                    demonstration.rhythm.blind, demonstration.skew)


def read_demonstration(file: Path, robot: RobotSpec, namespace: str = '',
                       about: Mapping[str, str] | None = None) -> Demonstration:
    """Read the timesteps of a recording.

    about  what the file says about itself, if that has been read already

    Raises BagError for one that may not become training data.
    """
    about = read_about(file) if about is None else about
    if about.get('spec_hash', robot.timestep().hash) != robot.timestep().hash:
        raise BagError(f'{file} was recorded by robot {about.get("robot")!r} with specification '
                       f'{about["spec_hash"]}, expected {robot.timestep().hash} of robot '
                       f'{robot.name!r}')
    robot = finished(robot, about)
    recording = read_recording(file, robot, namespace)
    missing: dict[int, str] = {}
    steps, skews = [], []
    for observation, command, skew_s in timesteps(recording, robot, missing):
        steps.append((observation, command))
        skews.append(skew_s)
    rhythm = judge(robot, [o.stamp_ns for o, _ in steps], list(recording.actions), recording.topic,
                   recording.sensors(robot), missing)
    skew = Skew.of(skews, robot)
    if why := rhythm.refusal or skew.refusal(robot) or range_fault(robot, _columns(robot, steps)):
        raise BagError(f'{file}: {why}')
    return Demonstration(recording, steps, missing, rhythm, skew)


def _columns(robot: RobotSpec, steps: Sequence[tuple[Observation, np.ndarray]]
             ) -> dict[str, np.ndarray]:
    """Return field -> float64[T, n] of all that is a vector."""
    found = {name: np.stack([seen.proprioception[name] for seen, _ in steps])
             for name in steps[0][0].proprioception}
    return found | {robot.command_field: np.stack([command for _, command in steps])}


def _holes(robot: RobotSpec, steps: Sequence[tuple[Observation, np.ndarray]]) -> np.ndarray:
    """Return int64[n], the steps before which others are missing."""
    stamps = np.array([observation.stamp_ns for observation, _ in steps])
    return np.flatnonzero(np.diff(stamps) * 1e-9 > 1.5 / robot.rate_hz) + 1


def _in_hindsight(robot: RobotSpec, steps: Sequence[tuple[Observation, np.ndarray]]
                  ) -> list[np.ndarray]:
    """Return labels float64[N] of all steps; nothing is looked up beyond a gap between them."""
    found: list[np.ndarray] = []
    for part in np.split(np.arange(len(steps)), _holes(robot, steps)):
        seen = [steps[i][0].proprioception[POSITIONS] for i in part]
        found += list(labels(robot, np.array(seen, np.float64),
                             np.array([steps[i][1] for i in part])))
    return found


def _task(file: Path, about: Mapping[str, str], task: str, sentence: str) -> tuple[str, str]:
    """Return the task's name and sentence; of a task that was named, the file's words are not."""
    sentence = sentence or ('' if task else about.get('sentence', ''))
    if not sentence:
        raise BagError(f'{file} does not say which task it shows, expected --task')
    return task or about.get('task') or sentence, sentence


def _outcome(file: Path, about: Mapping[str, str]) -> bool:
    if about.get('outcome') not in ('success', 'failure'):
        raise BagError(f'{file} does not say how it ended, expected --success or --failure')
    return about['outcome'] == 'success'


def read_recording(file: Path, robot: RobotSpec, namespace: str = '') -> Recording:
    """Read a robot's messages.

    Raises BagError for a file that cannot be read, a topic that is missing or of another type, and
    for stamps that go back.
    """
    def name(topic: str) -> str:
        return f'{namespace}/{topic}'.strip('/')

    cameras = {camera.name: name(camera.topic) for camera in robot.cameras}
    joints = name(robot.joint_states_topic)
    lenses = _lenses(file, {c: name(c.info_topic) for c in robot.cameras if c.undistort})
    found = read_logged(
        file, {name(topic): kind for topic, kind in observed(robot).items()},
        {name(c.topic): partial(_picture, camera=c, lens=lenses.get(c)) for c in robot.cameras})
    actions = next((topic for topic in ACTIONS if found[name(topic)]), '')
    for topic in (*cameras.values(), joints):
        if not found[topic]:
            raise BagError(f'{file} has no message on {topic}, expected one (topics in the YAML '
                           f'file of robot {robot.name!r}); it has {_listed(file)}')
    if not actions:
        raise BagError(f'{file} has no message on {" or ".join(map(name, ACTIONS))}, expected '
                       'the actions there (from the safety and the policy node of robot '
                       f'{robot.name!r}); it has {_listed(file)}')
    found[joints] = [row for row in found[joints] if concerns(row.message, robot)] or found[joints]
    try:
        stamped = {topic: by_stamp(topic, rows, robot) for topic, rows in found.items()}
    except ValueError as error:
        raise BagError(f'{file}: {error}') from error
    return Recording(file, {camera: stamped[topic] for camera, topic in cameras.items()},
                     stamped[joints], stamped[name(actions)], name(actions))


def _lenses(file: Path, infos: Mapping[CameraSpec, str]) -> dict[CameraSpec, Calibration | None]:
    """Return camera -> its calibration; ``infos`` are the topics of those that need one."""
    found = read_messages(file, dict.fromkeys(infos.values(), CAMERA_INFO)) if infos else {}
    try:
        return {camera: to_calibration(found[topic], camera) for camera, topic in infos.items()}
    except ConvertError as error:
        raise BagError(f'{file}: {error}') from error


def _picture(msg: Any, camera: CameraSpec, lens: Calibration | None) -> Picture:
    """Return what stays of a message: the rest of a large picture is let go at once."""
    try:
        return Picture(msg.header, to_image(msg, camera, lens).copy())
    except ConvertError as error:
        return Picture(msg.header, ConvertError(str(error)))  # its trace would keep the message


def timesteps(recording: Recording, robot: RobotSpec,
              missing: dict[int, str]) -> Iterator[tuple[Observation, np.ndarray, float]]:
    """Yield the observation of every action, its command float64[N], and the skew in s.

    An action without one goes into ``missing``: its stamp, and what there was not.
    Raises BagError for a message that cannot be used.
    """
    alignment = Alignment(robot, {name: list(found) for name, found in recording.images.items()},
                          list(recording.joints))
    for stamp, action in recording.actions.items():
        try:
            chosen = alignment.at(stamp)
        except LookupError as error:
            missing[stamp] = str(error)
            continue
        try:
            images = {name: recording.images[name][at].image()
                      for name, at in chosen.images.items()}
            step = (to_observation(images, recording.joints[chosen.joints], robot, stamp),
                    to_effort(action, robot, recording.topic), chosen.skew_s)
        except ConvertError as error:
            raise BagError(f'{recording.file}, {_seconds(stamp)}: {error}') from error
        yield step


def _listed(file: Path) -> str:
    return ', '.join(topics_of(file)) or 'no topics'
