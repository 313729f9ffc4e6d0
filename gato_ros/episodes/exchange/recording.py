"""Steps from anywhere, written as one of our recordings: the way into the package for all data.

    write_recording(Path('demos/pick.mcap'), robot, steps, {'sentence': 'lift the red block'})

What comes in so is then read, checked and trained on like what our recorder has written.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from mcap_ros2._dynamic import serialize_dynamic

import gato_ros
from gato_ros.episodes.recordings.definitions import DEFINITIONS, IMAGE, JOINTS, WORDS
from gato_ros.episodes.recordings.episode_file import EpisodeFile
from gato_ros.episodes.recordings.mcap_file import BagError, read_about
from gato_ros.episodes.recordings.ranges import range_fault
from gato_ros.episodes.recordings.topics import ACTIONS, FINISHED, PROMPT, finished, recorded
from gato_ros.files import ASIDE
from gato_ros.robot import POSITIONS, VELOCITIES, RobotSpec
from gato_ros.untrusted import brief

Values = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Step:
    """One timestep: what was seen at a stamp, and what was sent in answer.

    images   camera -> uint8[H, W, 3]
    tensors  field of the specification -> float64[n], the action's field among them
    """

    stamp_ns: int
    images: Values
    tensors: Values


class Made(NamedTuple):
    """A recording, and whether a former import of the very same data had written it."""

    file: Path
    kept: bool


def import_recording(file: Path, robot: RobotSpec, steps: Iterable[Step],
                     about: Mapping[str, str], origin: str) -> Made:
    """Write a recording unless it is there from the same data, robot and marks.

    origin  a hash of what the steps are read from

    Raises as write_recording does; a file from other data is let alone.
    """
    said = json.dumps([gato_ros.__version__, origin, robot.timestep().hash, robot.rate_hz,
                       robot.features, dict(about)], sort_keys=True)
    key = hashlib.sha256(said.encode()).hexdigest()[:16]
    if file.exists():
        if read_about(file).get('imported') != key:
            raise BagError(f'{file} exists already and comes from something else, expected a new '
                           'name: move it away or choose another folder')
        return Made(file, True)
    write_recording(file, robot, steps, {**about, 'imported': key})
    return Made(file, False)


def write_recording(file: Path, robot: RobotSpec, steps: Iterable[Step],
                    about: Mapping[str, str]) -> int:
    """Write a recording and return the number of its steps; nothing stays when a step is wrong.

    about  sentence, outcome, source and whatever else is known

    Raises BagError for a step that is not the robot's, RecordError when the file cannot be made.
    """
    robot = finished(robot, FINISHED)
    robot_topics = recorded(robot)
    encode = {kind: serialize_dynamic(kind, DEFINITIONS[kind])[kind]
              for kind in (IMAGE, JOINTS, WORDS)}
    take = EpisodeFile(file, robot_topics, {
        'version': gato_ros.__version__, 'robot': robot.name,
        'spec_hash': robot.timestep().hash, **FINISHED, **about}, ASIDE)
    count, rows = 0, dict[str, list[np.ndarray]]()
    try:
        for step in steps:
            if not count:
                words = {'data': about.get('sentence', '')}
                take.write(PROMPT, step.stamp_ns, encode[WORDS](words))
            for topic, kind, message in messages(robot, step):
                take.write(topic, step.stamp_ns, encode[kind](message))
            for name, values in step.tensors.items():
                rows.setdefault(name, []).append(values)
            count += 1
        if not count:
            raise BagError(f'{file}: no steps, expected some')
        if fault := range_fault(robot, {name: np.stack(rows[name]) for name in rows}):
            raise BagError(f'{file}: {fault}')
        take.save({'outcome': about.get('outcome', '')})
    except BaseException:
        take.discard()
        raise
    return count


def messages(robot: RobotSpec, step: Step) -> Iterable[tuple[str, str, dict]]:
    """Yield (topic, type, message) of a step; BagError for one that is not the robot's.

    A velocity that the robot's policy does not see is written as 0.
    """
    sec, nanosec = divmod(step.stamp_ns, 1_000_000_000)
    header = {'stamp': {'sec': sec, 'nanosec': nanosec}, 'frame_id': ''}
    for field in (*robot.timestep().continuous, *robot.timestep().continuous_actions):
        found = step.tensors[field.name]
        if found.shape != (field.size,) or not np.isfinite(found).all():
            raise BagError(f'{field.name} is {brief(found.tolist())} with shape {found.shape}, '
                           'expected '
                           f'{field.size} finite numbers (by the YAML file of robot '
                           f'{robot.name!r})')
    moving = [joint.observe_velocity for joint in robot.joints]
    velocities = np.zeros(len(moving))
    velocities[moving] = step.tensors[VELOCITIES]
    names = list(robot.joint_names)
    yield robot.joint_states_topic, JOINTS, {
        'header': header, 'name': names, 'position': step.tensors[POSITIONS].tolist(),
        'velocity': velocities.tolist()}
    for camera in robot.cameras:
        image = step.images[camera.name]
        if image.shape != (camera.height, camera.width, 3) or image.dtype != np.uint8:
            raise BagError(f'camera {camera.name!r} has {image.dtype}{list(image.shape)}, '
                           f'expected uint8[{camera.height}, {camera.width}, 3] (by the YAML file '
                           f'of robot {robot.name!r})')
        yield camera.topic, IMAGE, {
            'header': header, 'height': camera.height, 'width': camera.width, 'encoding': 'rgb8',
            'step': 3 * camera.width, 'data': image.tobytes()}
    yield ACTIONS[0], JOINTS, {'header': header, 'name': names,
                               robot.interface: step.tensors[robot.command_field].tolist()}
