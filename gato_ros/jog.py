"""From what a person wants to residual torques: a goal that moves, and springs towards it.

    jog = Jog(load_robot('panda_sim'))
    effort = jog.act(positions, Wish(linear=(0, 0, -1)), dt=0.05)     # down, at full speed

The goal is never far ahead of the arm, which bounds its speed, and the force of a hindered arm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gato_ros.config import ConfigError
from gato_ros.kinematics import Chain, Pose, inverse_step, rotation_vector, shortened, turned
from gato_ros.robot import RobotSpec

LINEAR, ANGULAR, JOINT = 0.25, 1.2, 0.8  # m/s, rad/s, rad/s at a wish of 1
AHEAD_M, AHEAD_RAD = 0.055, 0.4  # the goal is at most this far ahead
HOMEWARDS = 0.2  # share of the way to the rest posture in the motion that the tool does not feel


@dataclass(frozen=True)
class Wish:
    """What a person wants now; every number is a share of full speed, -1 to 1.

    linear, angular  of the tool along and about the base's x, y, z
    joints           of the chain's M joints; () for none
    gripper          1 opens, -1 closes, 0 leaves it as it is
    home             go to the rest posture
    speed            scale of all of it, 0 to 1
    """

    linear: tuple[float, ...] = (0.0, 0.0, 0.0)
    angular: tuple[float, ...] = (0.0, 0.0, 0.0)
    joints: tuple[float, ...] = ()
    gripper: float = 0.0
    home: bool = False
    speed: float = 1.0

    def __post_init__(self) -> None:
        values = np.array([*self.linear, *self.angular, *self.joints, self.gripper, self.speed],
                          np.float64)
        if len(self.linear) != 3 or len(self.angular) != 3:
            raise ValueError(f'the wish has {len(self.linear)} linear and {len(self.angular)} '
                             'angular parts, expected 3 of each')
        if not np.all(np.abs(values) <= 1.0 + 1e-9) or self.speed < 0:
            raise ValueError(f'the wish holds {values.tolist()}, expected shares from -1 to 1')


class Jog:
    """Holds the goal; N joints in the robot's order.

    chain    the joints that a wish moves
    gripper  the gripper's place among the N joints; None: there is none

    Raises ConfigError for a robot whose YAML file does not say how a person moves it.
    """

    def __init__(self, robot: RobotSpec) -> None:
        teleoperation = robot.teleoperation
        if teleoperation is None or robot.interface != 'effort':
            raise ConfigError(f'robot {robot.name!r} has no teleoperation, expected that and the '
                              'interface effort (in its YAML file)')
        self.chain, self._scale = Chain(robot), robot.scale
        names = [robot.joint_names[i] for i in self.chain.joints]
        for key in ('stiffness', 'home'):
            if set(getattr(teleoperation, key)) != set(names):
                raise ConfigError(f'robot {robot.name!r}: teleoperation.{key} names '
                                  f'{", ".join(getattr(teleoperation, key))}, expected '
                                  f'{", ".join(names)}')
        self._stiffness = np.array([teleoperation.stiffness[n] for n in names])
        self._home = np.array([teleoperation.home[n] for n in names])
        self.gripper = (robot.joint_names.index(teleoperation.gripper)
                        if teleoperation.gripper else None)
        self._opens, self._force = teleoperation.opens, 0.0
        self.restart()

    def restart(self) -> None:
        """Forget the goal: the next one is where the arm is then; the gripper stays as it is."""
        self._place: tuple[np.ndarray, np.ndarray] | None = None  # position, rotation
        self._posture: np.ndarray | None = None  # instead of a place, after a wish for joints

    def tool(self, positions: np.ndarray) -> np.ndarray:
        """Return float64[3]: where the tool is, m, base frame."""
        return self.chain.pose(positions).position

    def act(self, positions: np.ndarray, wish: Wish, dt: float) -> np.ndarray:
        """Return residual torques float64[N] in Nm (N), within the robot's scale.

        positions  float64[N], rad (m)
        dt         seconds for which the wish counts
        """
        angles = np.asarray(positions, np.float64)[self.chain.joints]
        pose = self.chain.pose(positions)
        rate = dt * wish.speed
        if wish.home:
            self._posture, self._place = self._home, None
        elif any(wish.joints):
            if len(wish.joints) != len(angles):
                raise ValueError(f'the wish moves {len(wish.joints)} joints, expected '
                                 f'{len(angles)}')
            start = angles if self._posture is None else self._posture
            self._posture = angles + np.clip(start + rate * JOINT * np.array(wish.joints) - angles,
                                             -AHEAD_RAD, AHEAD_RAD)
            self._place = None
        elif any(wish.linear) or any(wish.angular) or (
                self._place is None and self._posture is None):
            position, rotation = self._place or (pose.position, pose.rotation)
            self._posture = None
            ahead = position + rate * LINEAR * np.array(wish.linear) - pose.position
            turn = rotation_vector(turned(rotation, rate * ANGULAR * np.array(wish.angular)),
                                   pose.rotation)
            self._place = (pose.position + shortened(ahead, AHEAD_M),
                           turned(pose.rotation, shortened(turn, AHEAD_RAD)))
        if self._posture is not None:
            effort = self._springs(shortened(self._posture - angles,
                                          AHEAD_RAD * max(wish.speed, 0.1)))
        else:
            assert self._place is not None
            effort = self._pull(pose, angles, *self._place)
        if self.gripper is not None:
            if wish.gripper:
                self._force = float(
                    self._opens * np.sign(wish.gripper) * self._scale[self.gripper])
            effort[self.gripper] = self._force
        return effort

    def pull(self, positions: np.ndarray, place: np.ndarray, rotation: np.ndarray) -> np.ndarray:
        """Return torques float64[N] in Nm of the springs from the tool to a pose; the gripper's 0.

        place     float64[3] in m;  rotation  float64[3, 3]; both in the base frame
        """
        angles = np.asarray(positions, np.float64)[self.chain.joints]
        return self._pull(self.chain.pose(positions), angles, place, rotation)

    def _pull(self, pose: Pose, angles: np.ndarray, place: np.ndarray, rotation: np.ndarray
              ) -> np.ndarray:
        return self._springs(inverse_step(
            pose.jacobian, shortened(place - pose.position, AHEAD_M),
            shortened(rotation_vector(rotation, pose.rotation), AHEAD_RAD),
            HOMEWARDS * (self._home - angles)))

    def _springs(self, step: np.ndarray) -> np.ndarray:
        """Return torques float64[N] that pull along a step float64[M] in rad; the gripper's 0."""
        torque = self._stiffness * step
        torque /= max(1.0, float(np.max(np.abs(torque) / self._scale[self.chain.joints])))
        effort = np.zeros(len(self._scale))
        effort[self.chain.joints] = torque
        return effort

    def rest(self) -> np.ndarray:
        """Return float64[N]: no residual torque, the gripper's force as it was."""
        effort = np.zeros(len(self._scale))
        if self.gripper is not None:
            effort[self.gripper] = self._force
        return effort
