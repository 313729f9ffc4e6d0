"""ROS messages -> numpy: joints by name, stamps, whole observations; pictures: pictures.py.

No ROS is needed: a message is whatever has the fields of sensor_msgs' JointState, from a
subscription as from a file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from gato_ros.pictures import ConvertError
from gato_ros.robot import POSITIONS, VELOCITIES, RobotSpec
from gato_ros.spec import Observation
from gato_ros.untrusted import SHOWN, plain

# Of sensor_msgs and builtin_interfaces, or with the same fields.
JointState: TypeAlias = Any
Time: TypeAlias = Any


def to_ns(stamp: Time) -> int:
    """Return a stamp in nanoseconds."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def joint_values(msg: JointState, names: Sequence[str], part: str, source: str) -> np.ndarray:
    """Return float64[N] of ``part`` ('position', 'velocity', 'effort') in the order of ``names``.

    Joints are found by name; those that are not asked for are ignored.
    Raises ConvertError for a missing or repeated name, a missing value or one that is not finite.
    """
    where = {name: i for i, name in enumerate(msg.name)}
    values = getattr(msg, part)
    if len(where) != len(msg.name):
        twice = sorted(name for name, times in Counter(msg.name).items() if times > 1)
        raise ConvertError(f'{source}: joint names repeat: {_listed(twice)}')
    missing = [name for name in names if name not in where]
    if missing:
        raise ConvertError(f'{source}: {", ".join(missing)} missing, expected the joint names of '
                           f"the robot's YAML file; received {_listed(msg.name) or 'none'}")
    if len(values) != len(msg.name):
        raise ConvertError(f'{source}: {len(values)} values of {part}, expected one for each of '
                           f'its {len(msg.name)} names')
    vector = np.array([values[where[name]] for name in names], np.float64)
    if not np.isfinite(vector).all():
        bad = next(i for i, value in enumerate(vector) if not np.isfinite(value))
        raise ConvertError(f'{source}: the {part} of {names[bad]} is {vector[bad]}, expected a '
                           'finite number')
    return vector


def concerns(msg: JointState, robot: RobotSpec) -> bool:
    """Whether a joint state is of this robot; others may publish theirs on the same topic.

    One without any name is nobody else's, so it is for whoever reads it to refuse.
    """
    return not msg.name or not set(robot.joint_names).isdisjoint(msg.name)


def _listed(names: Sequence[str]) -> str:
    return plain(', '.join(names[:50]), SHOWN)


def to_proprioception(msg: JointState, robot: RobotSpec) -> dict[str, np.ndarray]:
    """Return the continuous fields of an observation: positions and velocities by name."""
    moving = [joint.name for joint in robot.joints if joint.observe_velocity]
    source = robot.joint_states_topic
    return {POSITIONS: joint_values(msg, robot.joint_names, 'position', source),
            VELOCITIES: joint_values(msg, moving, 'velocity', source)}


def to_effort(msg: JointState, robot: RobotSpec, source: str) -> np.ndarray:
    """Return float64[N] of a proposal or of what was sent; its names must be the robot's.

    The values are in the message's field 'effort', 'velocity' or 'position', as the interface is.
    Raises ConvertError as joint_values does, and for a name that the robot does not have.
    """
    unknown = [name for name in msg.name if name not in robot.joint_names]
    if unknown:
        raise ConvertError(f'{source}: {_listed(unknown)} unknown, expected '
                           f'{", ".join(robot.joint_names)} (the joints of robot {robot.name!r})')
    return joint_values(msg, robot.joint_names, robot.interface, source)


def to_observation(images: Mapping[str, np.ndarray], joints: JointState, robot: RobotSpec,
                   stamp_ns: int) -> Observation:
    """Return what the policy may see: a picture of each camera, by its name, and a joint state.

    images  camera -> uint8[H, W, 3], from pictures.to_image

    Raises ConvertError for a joint state that cannot be used.
    """
    return Observation(images=images, proprioception=to_proprioception(joints, robot),
                       stamp_ns=stamp_ns)
