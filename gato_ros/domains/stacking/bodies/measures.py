"""What the world and its expert must know of an arm, measured at its model.

    measures = measure(model, robot)
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass

import numpy as np

from gato_ros.config import ConfigError
from gato_ros.domains.stacking.bodies.arm import TOOL
from gato_ros.domains.stacking.physics import mujoco
from gato_ros.domains.stacking.tasks import BLOCKS
from gato_ros.robot import RobotSpec

OPENING_S = 1.0  # after which a gripper is open
ASIDE_RAD = 0.65  # of the last joint: for blocks at the table's sides, and to stay off its limits
WINDOW_RAD = 1.75  # yaws to either side that the expert grasps at: half a turn and a little more


@dataclass(frozen=True, eq=False)
class Measures:
    """Of one arm.

    gripper  its joint;  opens  the sign of the command that opens it
    tool     the site where a grasped block's centre should be
    hand     geoms that count as the hand when they touch a block
    opened   joint of the gripper -> its position when open, rad or m
    gap      (positions of the gripper's joint, half gaps in m); (): the position is half the gap
    twist    joint of the arm -> turn of a hand that points down, per turn of it, to whole numbers
    yaw      lowest and highest yaw that the last joint can turn to over the whole table, rad
    """

    gripper: str
    opens: int
    tool: str
    hand: tuple[str | int, ...]
    opened: Mapping[str, float]
    gap: tuple[tuple[float, ...], tuple[float, ...]] | tuple[()]
    twist: Mapping[str, float]
    yaw: tuple[float, float]

    def opening(self, position: float) -> float:
        """Return half the gap between the fingers in m, at a position of the gripper's joint."""
        return float(np.interp(position, *self.gap)) if self.gap else float(position)

    @property
    def widest(self) -> float:
        """Half the gap of the open gripper in m, to a tenth of a millimetre."""
        return round(self.opening(self.opened[self.gripper]), 4)


PANDA = Measures(
    gripper='panda_finger_joint1', opens=1, tool='tcp',
    hand=('hand', 'left_finger', 'left_pad', 'right_finger', 'right_pad'),
    opened={'panda_finger_joint1': 0.04, 'panda_finger_joint2': 0.04}, gap=(),
    twist={'panda_joint1': 1.0, 'panda_joint3': 1.0, 'panda_joint5': -1.0, 'panda_joint7': -1.0},
    yaw=(float(np.deg2rad(-85)), float(np.deg2rad(115))))


def measure(model: mujoco.MjModel, robot: RobotSpec) -> Measures:
    """Return the measures of ``robot`` in a scene with its arm.

    Raises ConfigError for a robot without a gripper, and for a wrist that turns too little.
    """
    if robot.simulation is None:
        return PANDA
    manner = robot.teleoperation
    joints = set(robot.joint_names)
    if manner is None or not {manner.gripper, *manner.home} == joints:
        raise ConfigError(f'robot {robot.name!r} does not say in teleoperation which joint is its '
                          'gripper and where each other one rests, expected both (in its YAML '
                          'file; docs/simulation.md)')
    pairs = robot.simulation.gap
    gap = (tuple(p for p, _ in pairs), tuple(width / 2 for _, width in pairs)) if pairs else ()
    free = {model.joint(name).id for name in BLOCKS}
    others = [i for i in range(model.njnt) if i not in free
              and model.joint(i).name not in manner.home]
    data = mujoco.MjData(model)
    for name, angle in manner.home.items():
        data.qpos[model.joint(name).qposadr] = angle
    mujoco.mj_forward(model, data)
    twist = _twist(model, data, tuple(manner.home))
    own = {model.body(name).id for name in BLOCKS} | {0}
    return Measures(
        manner.gripper, manner.opens, TOOL,
        tuple(i for i in range(model.ngeom) if model.geom_bodyid[i] not in own),
        _opened(model, robot, others), gap, twist, _yaws(robot, twist))


def _opened(model: mujoco.MjModel, robot: RobotSpec, others: list[int]) -> dict[str, float]:
    """Let the gripper open, without weight and with the arm held, and see where its joints are."""
    assert robot.teleoperation is not None
    model = copy(model)
    model.opt.gravity[:] = 0.0
    data = mujoco.MjData(model)
    places = [model.joint(name).qposadr[0] for name in robot.teleoperation.home]
    dofs = [model.joint(name).dofadr[0] for name in robot.teleoperation.home]
    gripper = robot.joints[robot.joint_names.index(robot.teleoperation.gripper)]
    model.dof_damping[model.joint(gripper.name).dofadr] = gripper.damping
    data.ctrl[model.actuator(gripper.name).id] = robot.teleoperation.opens * gripper.scale
    for _ in range(round(OPENING_S / model.opt.timestep)):
        data.qpos[places], data.qvel[dofs] = list(robot.teleoperation.home.values()), 0.0
        mujoco.mj_step(model, data)
    if not np.isfinite(data.qpos).all():
        raise ConfigError(f'robot {robot.name!r}: its gripper does not come to rest when it '
                          'opens, expected a smaller scale, or more damping, of the joint '
                          f'{gripper.name!r}')
    return {model.joint(i).name: float(data.qpos[model.joint(i).qposadr[0]]) for i in others}


def _twist(model: mujoco.MjModel, data: mujoco.MjData, names: tuple[str, ...]
           ) -> dict[str, float]:
    turning = np.zeros((3, model.nv))
    mujoco.mj_jacSite(model, data, None, turning, model.site(TOOL).id)
    return {name: float(np.round(turning[2, model.joint(name).dofadr[0]])) for name in names}


def _yaws(robot: RobotSpec, twist: Mapping[str, float]) -> tuple[float, float]:
    """Return the yaws that the chain's last joint can turn the hand to, which is at 0 at home."""
    assert robot.teleoperation is not None
    last = [link.joint for link in robot.kinematics if link.joint][-1]
    joint = robot.joints[robot.joint_names.index(last)]
    ends = (np.array(joint.position) - robot.teleoperation.home[last]) * (twist[last] or np.nan)
    lowest, highest = min(ends) + ASIDE_RAD, max(ends) - ASIDE_RAD
    low, high = max(lowest, -WINDOW_RAD), min(highest, WINDOW_RAD)
    low, high = max(lowest, min(low, high - 2 * WINDOW_RAD)), min(
        highest, max(high, low + 2 * WINDOW_RAD))
    if not high - low > np.pi / 2:
        raise ConfigError(f'robot {robot.name!r}: in its rest posture the joint {last!r} cannot '
                          'turn a hand that points down by a quarter turn, expected a posture in '
                          'teleoperation.home from which it can')
    return float(low), float(high)
