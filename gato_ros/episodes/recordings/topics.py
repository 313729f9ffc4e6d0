"""What a robot's topics carry, from its YAML file: the one map that all readers and writers share.

The recorder subscribes by it, a recording is read by it, and so is a replay; other people's
datasets are written and read by the names of their features.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Mapping

from gato_ros.config import ConfigError
from gato_ros.episodes.recordings.definitions import (
    CAMERA_INFO,
    COMMAND,
    COMPRESSED,
    DIAGNOSTICS,
    FRAMES,
    IMAGE,
    JOINTS,
    WORDS,
)
from gato_ros.robot import POSITIONS, VELOCITIES, RobotSpec
from gato_ros.untrusted import Refused

ACTIONS = ('sent_effort', 'proposed_effort')  # the first that was recorded is taken
FINISHED = {'pictures': 'finished'}  # noted in a file whose pictures are what the policy sees
PROMPT, MARK, EPISODE = 'prompt', 'recorder/mark', 'sim/episode'
TIMING = 'policy/timing'  # whatever the policy's node is called
DESCRIPTION = 'robot_description'
# Said once, and to hold from then on: every recording begins with what was said last.
LATCHED = (DESCRIPTION, '/tf_static')


def finished(robot: RobotSpec, about: Mapping[str, str]) -> RobotSpec:
    """Return the robot as a file shows it: to finished pictures nothing more is done."""
    if about.get('pictures') != FINISHED['pictures']:
        return robot
    return dataclasses.replace(robot, cameras=tuple(c.finished for c in robot.cameras))


def sensors(robot: RobotSpec) -> dict[str, str]:
    """Return topic -> type of what the policy sees."""
    return ({camera.topic: COMPRESSED if camera.transport == 'compressed' else IMAGE
             for camera in robot.cameras} | {robot.joint_states_topic: JOINTS})


def observed(robot: RobotSpec) -> dict[str, str]:
    """Return topic -> type of what makes an episode: what is seen, and what was done."""
    return sensors(robot) | dict.fromkeys(ACTIONS, JOINTS)


def recorded(robot: RobotSpec) -> dict[str, str]:
    """Return topic -> type of all that is recorded; a name without a slash is relative."""
    infos = {camera.info_topic: CAMERA_INFO for camera in robot.cameras}
    return (observed(robot) | infos | dict.fromkeys(robot.controllers.values(), COMMAND)
            | dict.fromkeys((PROMPT, MARK, EPISODE, TIMING, DESCRIPTION), WORDS)
            | {'/diagnostics': DIAGNOSTICS, '/tf': FRAMES, '/tf_static': FRAMES})


def features(robot: RobotSpec) -> dict[str, str]:
    """Return what cameras and vectors are called in datasets of other people, by their own names.

    Raises ConfigError for a name that the robot does not have, and for one that comes twice.
    """
    spec = robot.timestep()
    found = {camera.name: f'observation.images.{camera.name}' for camera in robot.cameras}
    found |= {POSITIONS: 'observation.state', VELOCITIES: 'observation.velocity',
              robot.command_field: 'action'}
    assert set(found) == {field.name for field in (*spec.images, *spec.tensors, *spec.actions)}
    for name in robot.features:
        if name not in found:
            raise ConfigError(f'robot {robot.name!r}: features names {name!r}, expected '
                              f'{", ".join(found)} (in its YAML file)')
    found |= robot.features
    if len(set(found.values())) < len(found):
        raise ConfigError(f'robot {robot.name!r}: features repeat: {", ".join(found.values())}, '
                          'expected another name for each (in its YAML file)')
    return found


def stamp_of(data: bytes) -> int:
    """Return the stamp in ns of a serialised message that begins with a header.

    Raises Refused for one that is too short for that.
    """
    little = len(data) > 1 and data[1] & 1
    try:
        sec, nanosec = struct.unpack_from('<iI' if little else '>iI', data, 4)
    except struct.error as error:
        raise Refused(f'{len(data)} bytes are no message with a header') from error
    return sec * 1_000_000_000 + nanosec


def concerns(data: bytes, robot: RobotSpec) -> bool:
    """Judge serialised joint states as messages.concerns does: by a name, with its length."""
    order = '<I' if len(data) > 1 and data[1] & 1 else '>I'
    return any(struct.pack(order, len(name) + 1) + name + b'\0' in data
               for name in (joint.encode() for joint in robot.joint_names))
