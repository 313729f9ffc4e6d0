"""One robot, from its YAML file: joints by name, limits, cameras, rates, and its timestep.

    robot = load_robot('panda_sim')
    robot.timestep().actions[0].names      # ('panda_joint1', ..., 'panda_finger_joint1')
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from gato_ros.config import ConfigError, data_path, from_dict, read_yaml
from gato_ros.spec import (
    ContinuousField,
    ImageField,
    Observation,
    TimestepSpec,
    example_observation,
)
from gato_ros.untrusted import brief

POSITIONS, VELOCITIES, TORQUES = 'joint_positions', 'joint_velocities', 'joint_torques'
FASTEST_HZ = 1000.0  # of a policy's control
MOST = 200  # joints, and cameras: far more than a timestep has room for
# What a robot's action field is called, by its interface.
COMMANDS = {'effort': TORQUES, 'velocity': 'commanded_velocities',
            'position': 'commanded_positions'}


@dataclass(frozen=True)
class JointSpec:
    """One joint, SI units (rad, rad/s, Nm; m, m/s, N for a prismatic one).

    position  lower and upper limit
    velocity  largest speed
    effort    hard limit of the actuator
    scale     command at an action of 1.0 (residual effort, or speed, or position by interface)
    slew      largest change of the command, per second
    damping   command per rad/s against the motion; who adds it: damped_by of the robot
    inertia   least inertia that the motor moves, kg m2 (kg); 0: not known (safety/damping.py)
    margin    a command may not push further out within this distance of a position limit, and
              fades over the same distance before; 0: it may, as where an end stop bears it
    """

    name: str
    controller: str
    position: tuple[float, float]
    velocity: float
    effort: float
    scale: float
    slew: float
    damping: float
    observe_velocity: bool = True
    kind: Literal['revolute', 'prismatic'] = 'revolute'
    margin: float = 0.0
    inertia: float = 0.0

    @property
    def units(self) -> tuple[str, str, str]:
        """Units of position, velocity and effort."""
        return ('rad', 'rad/s', 'Nm') if self.kind == 'revolute' else ('m', 'm/s', 'N')

    def __post_init__(self) -> None:
        for key in ('velocity', 'effort', 'scale', 'slew'):
            value = getattr(self, key)
            if not (math.isfinite(value) and value > 0):
                raise ConfigError(f'joint {self.name!r}: {key} is {value}, expected a number > 0')
        for key in ('damping', 'inertia'):
            value = getattr(self, key)
            if not (math.isfinite(value) and value >= 0):
                raise ConfigError(f'joint {self.name!r}: {key} is {value}, expected a number >= 0')
        low, high = self.position
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ConfigError(f'joint {self.name!r}: position limits [{low}, {high}] must be '
                              'finite and rising')
        if not 0 <= self.margin < (high - low) / 4:
            raise ConfigError(f'joint {self.name!r}: margin is {self.margin}, expected 0 to a '
                              f'quarter of its range [{low}, {high}]')


@dataclass(frozen=True)
class LinkSpec:
    """One step of the chain from the base to the tool, as in a URDF joint's origin.

    joint  the robot's joint that turns about the new frame's z axis; '': nothing turns
    xyz    m;  rpy  roll, pitch and yaw about fixed axes, rad
    """

    xyz: tuple[float, float, float]
    rpy: tuple[float, float, float]
    joint: str = ''


@dataclass(frozen=True)
class WorkspaceSpec:
    """The box in the base frame that the end of the chain stays in, m.

    margin  commands that push it further out fade over this distance and end as far from a face
    """

    low: tuple[float, float, float]
    high: tuple[float, float, float]
    margin: float = 0.02

    def __post_init__(self) -> None:
        for low, high in zip(self.low, self.high, strict=True):
            if not low + 4 * self.margin < high or self.margin <= 0:
                raise ConfigError(f'workspace [{low}, {high}] with margin {self.margin} leaves no '
                                  'room, expected a margin > 0 and more than four of them')


@dataclass(frozen=True)
class TeleoperationSpec:
    """How a person moves the arm.

    stiffness  joint of the arm -> torque in Nm for each rad between it and where it should be
    home       joint of the arm -> rest posture in rad
    gripper    the joint that opens and closes; '': none
    opens      1 where a positive command opens it, -1 where a negative one does
    """

    stiffness: dict[str, float]
    home: dict[str, float]
    gripper: str = ''
    opens: Literal[1, -1] = 1


@dataclass(frozen=True)
class SimulationSpec:
    """The robot's body in the blocks' world, from MuJoCo models: docs/simulation.md.

    model      of the arm: a file, from the YAML file's folder, or one of ours in sim/bodies
    gripper    model of a gripper that ``model`` does not have; '': it has one. Whatever is in it
               has ``gripper_`` before its name
    mount      site or body of ``model`` that this gripper hangs on, by mount_xyz (m), mount_rpy
    gap        (position of the gripper's joint, m between the fingers), by rising position; ():
               twice the position, of two fingers that mirror each other
    actuators  joint -> its actuator, where that has another name than the joint
    """

    model: str
    gripper: str = ''
    mount: str = ''
    mount_xyz: tuple[float, float, float] = (0.0, 0.0, 0.0)
    mount_rpy: tuple[float, float, float] = (0.0, 0.0, 0.0)
    gap: tuple[tuple[float, float], ...] = ()
    actuators: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        places, gaps = [place for place, _ in self.gap], [gap for _, gap in self.gap]
        if self.gap and (len(places) < 2 or places != sorted(set(places))
                         or gaps not in (sorted(gaps), sorted(gaps, reverse=True))):
            raise ConfigError(f'simulation.gap is {[list(pair) for pair in self.gap]}, expected '
                              'at least two pairs of a rising position and a gap that only rises '
                              'or only falls')

    def beside(self, folder: Path) -> SimulationSpec:
        """Return it with its files as paths, where they lie in or below ``folder``."""
        found = {key: str(folder / getattr(self, key)) for key in ('model', 'gripper')
                 if getattr(self, key) and (folder / getattr(self, key)).is_file()}
        return replace(self, **found)  # type: ignore[arg-type]


@dataclass(frozen=True)
class MountSpec:
    """Where a camera's body is: x the way it looks, y to its left, z up (REP 103).

    xyz   m;  rpy  roll, pitch and yaw about fixed axes, rad
    link  what it is fixed to: '' the base, ``tool`` the end of ``kinematics``, or another frame of
          the robot's description (descriptions/frames.py)
    """

    xyz: tuple[float, float, float]
    rpy: tuple[float, float, float]
    link: str = ''


@dataclass(frozen=True)
class CameraSpec:
    """One camera, and how its pictures become height x width pixels for the policy.

    transport  what ``topic`` carries: sensor_msgs/Image, or CompressedImage with JPEG or PNG
    encoding   of a raw picture, whatever its message says; '': as the message says
    undistort  straighten it by the camera_info beside the topic, as image_proc does
    crop       (x, y, width, height) in pixels as they are sent (undistorted), or all of it
    rotate     degrees clockwise, after crop
    resize     of another size than height x width: the largest ``centre`` part of its shape,
               ``pad`` all of it with black, ``stretch`` all of it, or ``never``, refused
    mount      where it is, for tf and RViz alone; None: not known

    What is as it should be is left alone. No setting but height and width is in the timestep's
    specification, so none makes a checkpoint unusable.
    """

    name: str
    topic: str
    height: int
    width: int
    max_age_s: float = 0.15
    transport: Literal['raw', 'compressed'] = 'raw'
    encoding: Literal['', 'rgb8', 'bgr8', 'rgba8', 'bgra8', 'mono8', 'mono16', 'yuv422', 'uyvy',
                      'yuv422_yuy2', 'yuyv', 'nv12', 'bayer_rggb8', 'bayer_bggr8', 'bayer_gbrg8',
                      'bayer_grbg8'] = ''
    undistort: bool = False
    crop: tuple[int, int, int, int] | None = None
    rotate: Literal[0, 90, 180, 270] = 0
    resize: Literal['centre', 'pad', 'stretch', 'never'] = 'centre'
    mount: MountSpec | None = None

    def __post_init__(self) -> None:
        if self.crop is not None and (min(self.crop) < 0 or min(self.crop[2:]) < 1):
            raise ConfigError(f'camera {self.name!r}: crop is {list(self.crop)}, expected x, y, '
                              'width and height in pixels, the first two >= 0, the others >= 1')
        if self.transport == 'compressed' and self.encoding:
            raise ConfigError(f'camera {self.name!r}: encoding is {self.encoding!r} with '
                              'transport compressed, expected none: a JPEG or PNG says it itself')

    @property
    def info_topic(self) -> str:
        """The camera_info beside its pictures, where every driver publishes it."""
        base = self.topic.removesuffix('/compressed')
        return f'{base.rpartition("/")[0]}/camera_info'

    @property
    def frame(self) -> str:
        """Its optical frame in tf: x to the right of the picture, y down, z into it."""
        return f'camera_{self.name}_optical'

    @property
    def finished(self) -> CameraSpec:
        """The same camera where its pictures are as the policy sees them: nothing is to do."""
        return CameraSpec(self.name, self.topic, self.height, self.width, self.max_age_s,
                          resize='never', mount=self.mount)


@dataclass(frozen=True)
class RobotSpec:
    """One robot, as read from ``config/robots/*.yaml``.

    rate_hz      control rate of the policy
    controllers  controller name -> command topic (Float64MultiArray, its joints in this order)
    max_skew_s   largest time between the messages of one step of a demonstration
    damped_by    who opposes motion by JointSpec.damping: the robot's side, or the safety gate
    damping_delay_s  longest delay outside the gate: from a motion until its joint state arrives
                 and from a command until it acts, together
    kinematics   the chain from the base to the tool; without it there is no workspace
    features     camera or vector -> its name in datasets of other people (episodes/topics.py)
    simulation   its body in the blocks' world; None: there is none, but for panda_sim's
    """

    name: str
    rate_hz: float
    interface: Literal['effort', 'velocity', 'position']
    joints: tuple[JointSpec, ...]
    cameras: tuple[CameraSpec, ...]
    controllers: dict[str, str]
    joint_states_topic: str = 'joint_states'
    joint_states_max_age_s: float = 0.05
    max_skew_s: float = 0.05
    teleoperation: TeleoperationSpec | None = None
    damped_by: Literal['robot', 'gate'] = 'robot'
    damping_delay_s: float = 0.02
    kinematics: tuple[LinkSpec, ...] = ()
    workspace: WorkspaceSpec | None = None
    features: dict[str, str] = field(default_factory=dict)
    simulation: SimulationSpec | None = None

    def __post_init__(self) -> None:
        names = [j.name for j in self.joints]
        if len(set(names)) != len(names):
            raise ConfigError(f'robot {self.name!r}: joint names repeat: {brief(names)}')
        for joint in self.joints:
            if joint.controller not in self.controllers:
                raise ConfigError(f'joint {joint.name!r} names controller {joint.controller!r}; '
                                  f'known: {", ".join(self.controllers)}')
        if not 0 < self.rate_hz <= FASTEST_HZ:
            raise ConfigError(f'robot {self.name!r}: rate_hz is {self.rate_hz}, expected > 0 and '
                              f'at most {FASTEST_HZ:g}')
        if len(self.joints) > MOST or len(self.cameras) > MOST:
            raise ConfigError(f'robot {self.name!r} has {len(self.joints)} joints and '
                              f'{len(self.cameras)} cameras, expected at most {MOST} of each')
        self._check_commands()
        for link in self.kinematics:
            if link.joint and link.joint not in names:
                raise ConfigError(f'robot {self.name!r}: kinematics names joint {link.joint!r}; '
                                  f'known: {", ".join(names)}')
        if self.workspace and not self.kinematics:
            raise ConfigError(f'robot {self.name!r} has a workspace and no kinematics, which say '
                              'where the tool is')

    def _check_commands(self) -> None:
        for joint in self.joints:
            limit = {'effort': joint.effort, 'velocity': joint.velocity}.get(self.interface)
            if limit is not None and joint.scale > limit:
                raise ConfigError(f'joint {joint.name!r}: scale {joint.scale} exceeds its '
                                  f'{self.interface} limit {limit}')
        if self.damped_by == 'gate' and self.interface != 'effort':
            raise ConfigError(f'robot {self.name!r}: damped_by gate needs the interface effort, '
                              f'found {self.interface}')
        if not (math.isfinite(self.damping_delay_s) and self.damping_delay_s >= 0):
            raise ConfigError(f'robot {self.name!r}: damping_delay_s is {self.damping_delay_s}, '
                              'expected a number >= 0')

    @cached_property
    def joint_names(self) -> tuple[str, ...]:
        """N names, in the order of every vector in this package."""
        return tuple(j.name for j in self.joints)

    @property
    def disorder_s(self) -> float:
        """Stamps that go back by less are messages out of order; by more, time began anew."""
        return self.max_skew_s

    @property
    def scale(self) -> np.ndarray:
        """float64[N]: command at an action of 1.0."""
        return np.array([j.scale for j in self.joints])

    @property
    def command_low(self) -> np.ndarray:
        """float64[N]: the command at an action of -1.0; rad for the interface position."""
        if self.interface == 'position':
            return np.array([j.position[0] for j in self.joints])
        return -self.scale

    @property
    def command_high(self) -> np.ndarray:
        """float64[N]: the command at an action of 1.0."""
        if self.interface == 'position':
            return np.array([j.position[1] for j in self.joints])
        return self.scale

    @property
    def command_field(self) -> str:
        """Name of the action's field: joint_torques, or what the interface makes of it."""
        return COMMANDS[self.interface]

    def timestep(self) -> TimestepSpec:
        """Return the fields that tokens are made from."""
        unit = ('position', 'velocity', 'effort').index(self.interface)
        moving = [j for j in self.joints if j.observe_velocity]
        return TimestepSpec(
            images=tuple(sorted((ImageField(c.name, c.height, c.width) for c in self.cameras),
                                key=lambda f: f.name)),
            continuous=(
                ContinuousField(POSITIONS, self.joint_names,
                                tuple(j.position[0] for j in self.joints),
                                tuple(j.position[1] for j in self.joints),
                                tuple(j.units[0] for j in self.joints)),
                ContinuousField(VELOCITIES, tuple(j.name for j in moving),
                                tuple(-j.velocity for j in moving),
                                tuple(j.velocity for j in moving),
                                tuple(j.units[1] for j in moving))),
            continuous_actions=(
                ContinuousField(self.command_field, self.joint_names, tuple(self.command_low),
                                tuple(self.command_high),
                                tuple(j.units[unit] for j in self.joints)),))

    def example_observation(self, seed: int = 0) -> Observation:
        """Return a random valid observation, for tests, documents and benchmarks."""
        return example_observation(self.timestep(), seed)


def load_robot(name_or_path: str | Path) -> RobotSpec:
    """Read a robot by name (``panda_sim``) from ``config/robots``, or a YAML file by its path."""
    path = Path(name_or_path)
    if path.suffix not in ('.yaml', '.yml'):
        path = data_path('config', 'robots', f'{name_or_path}.yaml')
    robot = from_dict(RobotSpec, read_yaml(path), str(path))
    if robot.simulation is None:
        return robot
    return replace(robot, simulation=robot.simulation.beside(path.parent))
