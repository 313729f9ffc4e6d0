"""An arm from other people's MuJoCo models: a gripper hung on it, motors for actuators, its tool.

    arm = Arm(load_robot('ur5e_sim'))
    world.attach(arm.spec(), frame=world.worldbody.add_frame())

Nothing of the model's joints, masses and shapes is changed, but for what the robot's own side is
taken to compensate: friction and damping of the joints that are commanded, and the weight.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gato_ros.config import ConfigError, data_path
from gato_ros.domains.stacking.physics import mujoco
from gato_ros.kinematics import Chain, rotation_vector, rpy_matrix
from gato_ros.robot import RobotSpec, SimulationSpec
from gato_ros.untrusted import brief

GRIPPER = 'gripper_'  # before the names of a gripper's parts, which may be those of an arm's
TOOL, WRIST = 'blocks_tcp', 'wrist'
NEAR_M, NEAR_RAD = 0.002, 0.01  # by which the model's tool may miss the YAML file's
# The wrist camera in the tool's frame, as panda_sim has it: beside the hand, 25 degrees tilted.
WRIST_PLACE, WRIST_FOVY = (0.085, 0.0, -0.0934), 75.0


class Arm:
    """The body of ``robot.simulation``; its models are read once more for every ``spec``.

    Raises ConfigError for files that do not load, joints or actuators that they do not have, and
    a model whose tool is elsewhere than the kinematics of the YAML file say.
    """

    def __init__(self, robot: RobotSpec) -> None:
        if robot.simulation is None:
            raise ConfigError(f'robot {robot.name!r} has no simulation, expected one that names '
                              'a MuJoCo model (in its YAML file; docs/simulation.md)')
        self.robot, self._of = robot, robot.simulation
        self._where = f'robot {robot.name!r}: {Path(self._of.model).name}'
        self._names = {robot.joint_names[i] for i in Chain(robot).joints}
        self._tool = self._find_tool()

    def spec(self) -> mujoco.MjSpec:
        """Return the arm with its tool's site, the camera ``wrist`` and a motor per joint."""
        spec = self._read()
        body, place, rotation = self._tool
        holder = spec.body(body)
        holder.add_site(name=TOOL, pos=place, quat=_quaternion(rotation), rgba=(0, 0, 0, 0))
        if WRIST not in [camera.name for camera in spec.cameras]:
            holder.add_camera(name=WRIST, pos=place + rotation @ WRIST_PLACE, fovy=WRIST_FOVY,
                              quat=_quaternion(rotation @ _wrist()))
        return spec

    def _read(self) -> mujoco.MjSpec:
        spec = _load(self._of.model)
        if self._of.gripper:
            self._hang(spec, _load(self._of.gripper))
        for part in (*spec.lights, *spec.keys, *(c for c in spec.cameras if c.name != WRIST)):
            spec.delete(part)
        for body in spec.bodies:
            body.gravcomp = 0.0  # the world compensates the weight itself
        self._motorise(spec)
        return spec

    def _hang(self, spec: mujoco.MjSpec, gripper: mujoco.MjSpec) -> None:
        of = self._of
        turn = rpy_matrix(*of.mount_rpy)
        site, body = spec.site(of.mount), spec.body(of.mount)
        if site is not None:
            body = site.parent
            place = np.array(site.pos) + _matrix(site.quat) @ of.mount_xyz
            turn = _matrix(site.quat) @ turn
        elif body is not None:
            place = np.array(of.mount_xyz)
        else:
            raise ConfigError(f'{self._where} has no site or body {brief(of.mount)} to hang the '
                              'gripper on, expected one of the sites '
                              f'{_list(spec.sites)} or the bodies {_list(spec.bodies)} '
                              '(simulation.mount)')
        spec.attach(gripper, prefix=GRIPPER,
                    frame=body.add_frame(pos=place, quat=_quaternion(turn)))

    def _motorise(self, spec: mujoco.MjSpec) -> None:
        """Leave one motor for each of the robot's joints, called as the joint is."""
        for name in self.robot.joint_names:
            joint = spec.joint(name)
            if joint is None:
                raise ConfigError(f'{self._where} has no joint {name!r}, expected every joint of '
                                  f'the YAML file; known: {_list(spec.joints)}')
            actuator = self._actuator(spec, name)
            actuator.set_to_motor()
            actuator.name, actuator.gear = name, (1, 0, 0, 0, 0, 0)
            actuator.ctrllimited = actuator.actlimited = mujoco.mjtLimited.mjLIMITED_FALSE
            if name in self._names:
                joint.frictionloss = 0.0
        for actuator in list(spec.actuators):
            if actuator.name not in self.robot.joint_names:
                spec.delete(actuator)

    def _actuator(self, spec: mujoco.MjSpec, joint: str) -> mujoco.MjsActuator:
        """Return a joint's actuator: the one named for it, or the one that drives it."""
        wanted = self._of.actuators.get(joint, joint)
        found = spec.actuator(wanted)
        if found is None and joint not in self._of.actuators:
            driving = [a for a in spec.actuators if a.target == joint
                       and a.trntype == mujoco.mjtTrn.mjTRN_JOINT]
            found = driving[0] if driving else None
        if found is None:
            raise ConfigError(f'{self._where} has no actuator {brief(wanted)} for the joint '
                              f'{joint!r}, expected one in the model, or its name in '
                              'simulation.actuators of the YAML file; known: '
                              f'{_list(spec.actuators)}')
        return found

    def _find_tool(self) -> tuple[str, np.ndarray, np.ndarray]:
        """Return the body that bears the tool, and the tool's place and rotation in it."""
        robot, chain = self.robot, Chain(self.robot)
        model = compiled(self._read(), self._where)
        data = mujoco.MjData(model)
        last = [link.joint for link in robot.kinematics if link.joint][-1]
        body = int(model.joint(last).bodyid[0])
        address = [model.joint(name).qposadr[0] for name in robot.joint_names]
        low, high = np.array([joint.position for joint in robot.joints]).T
        found = []
        for share in (0.5, 0.6, 0.45, 0.7):  # of each joint's range
            positions = low + share * (high - low)
            data.qpos[address] = positions
            mujoco.mj_kinematics(model, data)
            pose, turn = chain.pose(positions), data.xmat[body].reshape(3, 3)
            found.append((turn.T @ (pose.position - data.xpos[body]), turn.T @ pose.rotation))
        place, rotation = found[0]
        for other, turned in found[1:]:
            miss = float(np.linalg.norm(other - place))
            twist = float(np.linalg.norm(rotation_vector(turned, rotation)))
            if miss > NEAR_M or twist > NEAR_RAD:
                raise ConfigError(
                    f'{self._where} moves its tool otherwise than the kinematics of the YAML '
                    f'file say (by {1e3 * miss:.0f} mm and {twist:.2f} rad), expected the same '
                    'joints in the same places')
        return model.body(body).name, place, rotation


def compiled(spec: mujoco.MjSpec, where: str) -> mujoco.MjModel:
    """Return the model of ``spec``; ConfigError, in one sentence, where MuJoCo refuses it."""
    try:
        return spec.compile()
    except ValueError as error:
        raise ConfigError(f'{where} does not compile: {_first_line(error)}') from error


def model_files(simulation: SimulationSpec) -> list[Path]:
    """Return where the models lie; ConfigError for one that is not there."""
    return [_file(model) for model in (simulation.model, simulation.gripper) if model]


def _file(model: str) -> Path:
    path = Path(model)
    if path.is_file():
        return path
    try:
        return data_path('sim', 'bodies', model)
    except ConfigError:
        raise ConfigError(f'{model} is no file, expected a MuJoCo model beside the YAML file of '
                          'the robot, or one of ours in sim/bodies') from None


def _load(model: str) -> mujoco.MjSpec:
    path = _file(model)
    try:
        return mujoco.MjSpec.from_file(str(path))
    except ValueError as error:
        raise ConfigError(f'{path} is no MuJoCo model: {_first_line(error)}') from error


def _first_line(error: Exception) -> str:
    return ' '.join(str(error).split())[:300]


def _list(parts: list[object]) -> str:
    return ', '.join(part.name for part in parts if part.name) or 'none'  # type: ignore[attr-defined]


def _wrist() -> np.ndarray:
    """Return the wrist camera's axes in the tool's frame, float64[3, 3]: right, up, backwards."""
    right, up = np.array([0.0, 1.0, 0.0]), np.array([0.906, 0.0, 0.423])
    up = up / np.linalg.norm(up)
    return np.stack([right, up, np.cross(right, up)], axis=1)


def _quaternion(rotation: np.ndarray) -> np.ndarray:
    found = np.zeros(4)
    mujoco.mju_mat2Quat(found, np.ascontiguousarray(rotation).ravel())
    return found


def _matrix(quaternion: np.ndarray) -> np.ndarray:
    found, unit = np.zeros(9), np.array(quaternion, np.float64)
    mujoco.mju_quat2Mat(found, unit / np.linalg.norm(unit))
    return found.reshape(3, 3)
