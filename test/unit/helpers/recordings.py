"""Recordings of a robot that does what chance says, as MCAP files, written without ROS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from mcap_ros2._dynamic import serialize_dynamic
from mcap_ros2.writer import Writer

from gato_ros.episodes.recordings.bag import Imported, import_bag
from gato_ros.episodes.recordings.definitions import DEFINITIONS, IMAGE, JOINTS
from gato_ros.episodes.recordings.session import Session
from gato_ros.robot import POSITIONS, VELOCITIES, RobotSpec, load_robot
from gato_ros.spec import Observation

ROBOT = load_robot('panda_sim')
FRONT, WRIST = (camera.topic for camera in ROBOT.cameras)
SENTENCE = 'stack the red block on the blue block'
MS, STEPS, START_MS = 1_000_000, 6, 1_000
Change = Callable[[str, int, dict[str, Any]], dict[str, Any] | None]


def header(ms: float) -> dict[str, Any]:
    ns = round(ms * MS)
    return {'stamp': {'sec': ns // 10**9, 'nanosec': ns % 10**9}, 'frame_id': ''}


def picture(image: np.ndarray, ms: float) -> dict[str, Any]:
    height, width, _ = image.shape
    return {'header': header(ms), 'height': height, 'width': width, 'encoding': 'rgb8',
            'step': 3 * width, 'data': image.tobytes()}


def original(step: int, robot: RobotSpec = ROBOT) -> tuple[Observation, np.ndarray]:
    """Return what the arrays of step ``step`` are."""
    command = np.random.default_rng(step).uniform(robot.command_low, robot.command_high)
    return robot.example_observation(step), command


def messages(steps: int = STEPS, robot: RobotSpec = ROBOT
             ) -> list[tuple[str, int, str, dict[str, Any]]]:
    """Return (topic, ms, type, message) as a robot with reversed joints would publish them."""
    rows: list[tuple[str, int, str, dict[str, Any]]] = []
    names = list(robot.joint_names)
    for step in range(steps):
        ms = START_MS + 50 * step
        observation, command = original(step, robot)
        velocities = dict(zip(next(f.names for f in robot.timestep().continuous
                                   if f.name == VELOCITIES),
                              observation.proprioception[VELOCITIES], strict=True))
        joints = {'header': header(ms), 'name': names[::-1],
                  'position': observation.proprioception[POSITIONS][::-1].tolist(),
                  'velocity': [velocities.get(name, 0.0) for name in names[::-1]]}
        rows += [(f'/{robot.joint_states_topic}', ms, JOINTS, joints)]
        rows += [(f'/{camera.topic}', ms, IMAGE, picture(observation.images[camera.name], ms))
                 for camera in robot.cameras]
        rows += [('/sent_effort', ms, JOINTS,
                  {'header': header(ms), 'name': names, robot.interface: command.tolist()})]
    return rows


def write(file: Path, rows: list[tuple[str, int, str, dict[str, Any]]] | None = None,
          change: Change | None = None, **options: Any) -> Path:
    """Write a recording; ``change`` may alter a message by topic and ms, or drop it (None)."""
    with Writer(str(file), **options) as writer:
        schemas = {kind: writer.register_msgdef(kind, text) for kind, text in DEFINITIONS.items()}
        for number, (topic, ms, kind, msg) in enumerate(messages() if rows is None else rows):
            changed = msg if change is None else change(topic.strip('/'), ms, dict(msg))
            if changed is not None:
                writer.write_message(topic, schemas[kind], changed, ms * MS + number)
    return file


def do_import(bag: Path, out: Path | None = None, success: bool = True,
              **options: Any) -> Imported:
    return import_bag(bag, out or bag.parent / 'out', ROBOT, 'stack_wide', SENTENCE, success,
                      **options)


def serialised(steps: int = STEPS, robot: RobotSpec = ROBOT) -> list[tuple[str, int, bytes]]:
    """Return (topic, ns, bytes) as a recorder receives them."""
    encoders = {kind: serialize_dynamic(kind, text)[kind] for kind, text in DEFINITIONS.items()}
    return [(topic.strip('/'), ms * MS, encoders[kind](msg))
            for topic, ms, kind, msg in messages(steps, robot)]


def record(folder: Path, outcome: str = 'success', steps: int = 10,
           robot: RobotSpec = ROBOT) -> Path:
    """Record an episode as the recorder does; return its file."""
    session = Session(robot, folder, {'source': 'teleoperation'}, min_free_mb=1)
    session.start(SENTENCE, 'stack_wide')
    for topic, log_ns, data in serialised(steps, robot):
        session.write(topic, log_ns, data)
    return session.save(outcome).file
