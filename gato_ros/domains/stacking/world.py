"""The physics: the model, the residual-torque interface, and questions about blocks and contacts.

A command is a torque on top of gravity and Coriolis compensation and joint damping, as on a
Franka arm; both are computed anew at every physics step, as the robot's side does at 1 kHz.
"""

from __future__ import annotations

import math

import numpy as np

from gato_ros.config import ConfigError
from gato_ros.domains.stacking.bodies.measures import measure
from gato_ros.domains.stacking.bodies.scene import arm_of, scene
from gato_ros.domains.stacking.physics import mujoco
from gato_ros.domains.stacking.shapes import CUBE, Shape, apply, shapes_model
from gato_ros.domains.stacking.tasks import BLOCKS
from gato_ros.robot import RobotSpec


class World:
    """MuJoCo's model and data with the robot of ``robot`` in them; N joints in its order.

    shaped  let ``reshape`` make other objects of the blocks, which are cubes otherwise
    another  name of a fourth cube, which is no task's; such a world is shaped
    undamped  float64[M], Nm s/rad: the damping that the arm lacks of what its robot's file says
    load_kg   in the hand, which the arm's side does not bear
    """

    def __init__(self, robot: RobotSpec, shaped: bool = False, another: str = '') -> None:
        self.model = (shapes_model(robot, another) if shaped or another
                      else scene(arm_of(robot)))
        self._another = another
        self.data = mujoco.MjData(self.model)
        self.robot = robot
        known = [self.model.actuator(i).name for i in range(self.model.nu)]
        if sorted(robot.joint_names) != sorted(known) or robot.interface != 'effort':
            raise ConfigError(f'robot {robot.name!r} does not fit its simulation, expected the '
                              f'joints {", ".join(known)} and the interface effort; an arm of '
                              'your own: docs/simulation.md')
        self.timestep_s = float(self.model.opt.timestep)
        self.period_steps = round(1 / robot.rate_hz / self.timestep_s)
        if not math.isclose(self.period_steps * self.timestep_s * robot.rate_hz, 1.0):
            raise ConfigError(f'robot {robot.name!r}: rate_hz {robot.rate_hz} makes a control '
                              f'period of {1e3 / robot.rate_hz:.3f} ms, expected a whole multiple '
                              f'of the physics step of {1e3 * self.timestep_s:g} ms')
        seen = [self.model.cam(i).name for i in range(self.model.ncam)]
        for camera in robot.cameras:
            if camera.name not in seen:
                raise ConfigError(f'robot {robot.name!r}: camera {camera.name!r} is not in '
                                  f'its simulation, expected one of {", ".join(seen)}')
        self.body = measure(self.model, robot)
        finger = self.body.gripper
        self.arm_names = [name for name in robot.joint_names if name != finger]  # M joints
        manner = robot.teleoperation
        if manner is None or not set(self.arm_names) <= set(manner.home) & set(manner.stiffness):
            raise ConfigError(f'robot {robot.name!r} does not say in teleoperation where each '
                              'joint of its arm rests and how stiff it is, expected both: '
                              'episodes start there, and the expert pulls so (in its YAML file)')
        self.home = np.array([manner.home[name] for name in self.arm_names])  # float64[M], rad
        self.stiffness = np.array([manner.stiffness[name] for name in self.arm_names])  # Nm/rad
        joints = [self.model.joint(name) for name in robot.joint_names]
        self.qpos = np.array([j.qposadr[0] for j in joints])  # [N] into data.qpos
        self.dof = np.array([j.dofadr[0] for j in joints])  # [N] into data.qvel
        self.motor = np.array([self.model.actuator(n).id for n in robot.joint_names])
        self.arm = np.array([n != finger for n in robot.joint_names])  # bool[N]
        self.finger = robot.joint_names.index(finger)
        self.model.dof_damping[self.dof] = [j.damping for j in robot.joints]
        self.model.actuator_forcelimited[self.motor] = 1
        self.model.actuator_forcerange[self.motor] = [(-j.effort, j.effort) for j in robot.joints]
        self.shapes = dict.fromkeys(BLOCKS, CUBE)
        self.undamped, self.load_kg = np.zeros(len(self.arm_names)), 0.0
        self._tcp = self.model.site(self.body.tool).id
        self._body = {name: self.model.body(name).id for name in BLOCKS}
        self._block_qpos = {name: self.model.joint(name).qposadr[0] for name in BLOCKS}
        self._block_dof = {name: self.model.joint(name).dofadr[0] for name in BLOCKS}
        self._part = {self.model.geom(name).id: name for name in (*BLOCKS, 'table')}
        self._part |= {self.model.geom(name).id: 'hand' for name in self.body.hand}
        mujoco.mj_forward(self.model, self.data)

    def reshape(self, shapes: dict[str, Shape]) -> None:
        """Make these objects of the blocks; their positions are for the caller to set."""
        if self._another:
            shapes = {self._another: CUBE, **shapes}
        apply(self.model, shapes, self.robot)
        self.shapes = shapes

    def advance(self, effort: np.ndarray, steps: int) -> None:
        """Hold the residual ``effort`` float64[N] (Nm, N) for ``steps`` physics steps."""
        model, data = self.model, self.data
        for _ in range(steps):
            mujoco.mj_step1(model, data)
            data.ctrl[self.motor] = effort + data.qfrc_bias[self.dof]
            mujoco.mj_step2(model, data)
        mujoco.mj_forward(model, data)  # positions of bodies and contacts of the new state

    @property
    def joint_positions(self) -> np.ndarray:
        """float64[N] in rad (m)."""
        return self.data.qpos[self.qpos]

    @property
    def joint_velocities(self) -> np.ndarray:
        """float64[N] in rad/s (m/s)."""
        return self.data.qvel[self.dof]

    @property
    def opening(self) -> float:
        """Half the gap between the fingers in m; 0.02 with a cube between them."""
        return self.body.opening(self.data.qpos[self.qpos[self.finger]])

    @property
    def tcp(self) -> np.ndarray:
        """float64[3]: where a grasped block's centre should be, base frame, m."""
        return self.data.site_xpos[self._tcp].copy()

    @property
    def tcp_rotation(self) -> np.ndarray:
        """float64[3, 3]: columns are the hand's x, y (the fingers' motion) and z (outwards)."""
        return self.data.site_xmat[self._tcp].reshape(3, 3).copy()

    def tcp_jacobian(self) -> np.ndarray:
        """float64[6, M]: linear (m) over angular (rad) motion of the tcp by the M arm joints."""
        jacobian = np.zeros((6, self.model.nv))
        mujoco.mj_jacSite(self.model, self.data, jacobian[:3], jacobian[3:], self._tcp)
        return jacobian[:, self.dof[self.arm]]

    def block(self, name: str) -> np.ndarray:
        """float64[3]: a block's centre, base frame, m."""
        return self.data.xpos[self._body[name]].copy()

    def block_rotation(self, name: str) -> np.ndarray:
        """float64[3, 3]: a block's axes as columns."""
        return self.data.xmat[self._body[name]].reshape(3, 3).copy()

    def block_yaw(self, name: str) -> float:
        """Angle of a block's narrower level axis about the vertical in rad, up to half a turn."""
        level = self.block_rotation(name)[:, self._axes(name)[1]]
        return float(np.arctan2(level[1], level[0]))

    def extents(self, name: str) -> tuple[float, float, float]:
        """A block's height, narrower and wider side in m, as it lies or stands now."""
        up, narrow, wide = (2 * self.shapes[name].size[axis] for axis in self._axes(name))
        return up, narrow, wide

    def height(self, name: str) -> float:
        """A block's height in m, as it lies or stands now."""
        return self.extents(name)[0]

    def _axes(self, name: str) -> tuple[int, int, int]:
        """Return a block's axes: the upright one, then the level ones, narrower before wider."""
        steep, size = np.abs(self.block_rotation(name)[2]), self.shapes[name].size
        up = int(np.argmax(steep))
        narrow, wide = sorted((i for i in range(3) if i != up), key=lambda i: (size[i], steep[i]))
        return up, narrow, wide

    def place(self, name: str, position: np.ndarray, yaw: float = 0.0) -> None:
        """Put a block at ``position`` float64[3] (m), at rest; for resets and tests."""
        start, dof = self._block_qpos[name], self._block_dof[name]
        self.data.qpos[start:start + 3] = position
        self.data.qpos[start + 3:start + 7] = (np.cos(yaw / 2), 0, 0, np.sin(yaw / 2))
        self.data.qvel[dof:dof + 6] = 0.0

    def forward(self) -> None:
        """Let bodies and contacts follow what was placed."""
        mujoco.mj_forward(self.model, self.data)

    def touching(self) -> set[frozenset[str]]:
        """Return the pairs among blocks, 'table' and 'hand' that touch."""
        return {frozenset((self._part.get(a, 'other'), self._part.get(b, 'other')))
                for a, b in self.data.contact.geom.tolist()}

    def held(self, name: str) -> bool:
        """Whether the block is between the fingers and they are no farther apart than it is."""
        offset = self.tcp_rotation.T @ (self.block(name) - self.tcp)
        closed = self.extents(name)[1] / 2 + 0.0025
        return bool(self.opening < closed and np.all(np.abs(offset) < (0.022, 0.012, 0.022)))
