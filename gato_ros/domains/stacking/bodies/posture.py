"""A rest posture and gains for an arm before the blocks, proposed from its model.

    proposal = propose(load_robot('my_arm.yaml'))
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gato_ros.config import ConfigError
from gato_ros.domains.stacking.bodies.arm import compiled
from gato_ros.domains.stacking.bodies.scene import arm_of
from gato_ros.domains.stacking.physics import mujoco
from gato_ros.kinematics import Chain, inverse_step, rotation_vector, shortened
from gato_ros.robot import RobotSpec

PLACE = np.array([0.42, 0.0, 0.25])  # m: where the tool rests, over the near edge of the blocks
DOWN = np.diag((1.0, -1.0, -1.0))
STARTS, STEPS = 60, 150  # random postures that lead to the place, if they do, in so many steps
NEAR = 1e-3  # m and rad
DAMPING_PER_S, STIFFNESS_PER_S = 20.0, 5.0  # of the inertia, of the damping


@dataclass(frozen=True)
class Proposal:
    """Of each joint of the arm: rest posture in rad, damping in Nm s/rad, stiffness in Nm/rad."""

    home: dict[str, float]
    damping: dict[str, float]
    stiffness: dict[str, float]


def propose(robot: RobotSpec, seed: int = 0) -> Proposal:
    """Return what to write into ``damping`` and ``teleoperation`` of a robot's YAML file.

    Of the postures found from ``seed`` it takes one whose links stand high, above the line to the
    tool, and whose joints are far from their limits. Raises ConfigError where none is found.
    """
    chain, arm = Chain(robot), arm_of(robot)
    if arm is None:
        raise ConfigError(f'robot {robot.name!r} has no simulation, expected one that names a '
                          'MuJoCo model (in its YAML file; docs/simulation.md)')
    model = compiled(arm.spec(), f'robot {robot.name!r}')
    data, names = mujoco.MjData(model), [robot.joint_names[i] for i in chain.joints]
    address = [model.joint(name).qposadr[0] for name in names]
    links = [model.joint(name).bodyid[0] for name in names]
    best, found = -np.inf, None
    for angles, room in _postures(robot, chain, np.random.default_rng(seed)):
        data.qpos[address] = angles
        mujoco.mj_kinematics(model, data)
        places = data.xpos[links]
        score = places[:, 2].mean() - np.abs(places[:, 1]).mean() + room
        if places[1:, 2].min() > PLACE[2] / 2 and score > best:
            best, found = score, angles
    if found is None:
        raise ConfigError(f'robot {robot.name!r}: no posture was found that holds the tool at '
                          f'{PLACE.tolist()} m and straight down, expected an arm that reaches '
                          'there, and kinematics that end between the fingertips')
    data.qpos[address] = found
    mujoco.mj_forward(model, data)
    inertia = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, inertia, data.qM)
    damping = {name: float(f'{DAMPING_PER_S * inertia[dof, dof]:.2g}') for name, dof in zip(
        names, (model.joint(name).dofadr[0] for name in names), strict=True)}
    return Proposal({name: round(float(angle), 4) for name, angle in zip(
        names, found, strict=True)}, damping,
        {name: round(STIFFNESS_PER_S * value, 3) for name, value in damping.items()})


def _postures(robot: RobotSpec, chain: Chain, rng: np.random.Generator
              ) -> list[tuple[np.ndarray, float]]:
    """Return postures float64[M] with the tool in its place, and the share of range left free."""
    joints = [robot.joints[i] for i in chain.joints]
    low, high = np.array([joint.position for joint in joints]).T
    positions, found = np.zeros(len(robot.joints)), []
    for _ in range(STARTS):
        angles = low + rng.uniform(0.2, 0.8, len(joints)) * (high - low)
        for _ in range(STEPS):
            positions[chain.joints] = angles
            pose = chain.pose(positions)
            ahead, turn = PLACE - pose.position, rotation_vector(DOWN, pose.rotation)
            if max(np.linalg.norm(ahead), np.linalg.norm(turn)) < NEAR:
                found.append((angles, float(np.min(np.minimum(
                    angles - low, high - angles) / (high - low)))))
                break
            angles = np.clip(angles + inverse_step(
                pose.jacobian, shortened(ahead, 0.1), shortened(turn, 0.4),
                np.zeros(len(joints))), low, high)
    return found
