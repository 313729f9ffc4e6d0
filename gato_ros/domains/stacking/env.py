"""The environment: one robot, one task, seeded episodes, and nothing seen beyond the sensors."""

from __future__ import annotations

import numpy as np

from gato_ros.domains.stacking.judge import Judge, Watcher
from gato_ros.domains.stacking.randomise import Randomiser
from gato_ros.domains.stacking.render import Camera, Mark
from gato_ros.domains.stacking.reset import reset
from gato_ros.domains.stacking.shapes import draw
from gato_ros.domains.stacking.tasks import BLOCKS, Task
from gato_ros.domains.stacking.world import World
from gato_ros.robot import POSITIONS, VELOCITIES, RobotSpec
from gato_ros.spec import Observation


class StackingEnv:
    """Blocks on a table before an arm that takes residual torques; N joints in robot's order.

    randomise  draw light, colours, cameras, friction and masses anew at every reset; may be
               changed between episodes
    render     without it observations hold no images, and no OpenGL is needed; may be changed
               between episodes, as ``pictures``
    task       of the present episode: its blocks and its sentence may differ from seed to seed
    marks      what pictures show and nothing touches
    lost       whether the present episode cannot be won any more
    """

    marks: tuple[Mark, ...] = ()
    lost = False

    def __init__(self, robot: RobotSpec, task: Task, randomise: bool = False,
                 render: bool = True) -> None:
        self.robot, self._tasks = robot, task
        self.world = self._make_world()
        self._randomiser = Randomiser(self.world.model)
        self.randomise, self.pictures = randomise, render
        self._cameras: dict[tuple[int, int], Camera] = {}
        self._velocities = np.array([j.observe_velocity for j in robot.joints])
        self.reset(seed=0)

    def reset(self, seed: int) -> Observation:
        """Start the episode of this seed; the same seed gives the same episode, bit by bit."""
        rng = np.random.default_rng(seed)
        self._randomiser.restore()
        self.task = self._tasks.episode(seed)
        if self.task.shapes != 'cubes':
            self.world.reshape(draw(self.task.shapes, BLOCKS, seed))
        reset(self.world, self.task, rng)
        if self.randomise:  # after the reset: blocks and arm start alike with and without it
            self._randomiser.draw(rng)
        self.world.data.time = 1.0 / self.robot.rate_hz  # so that no stamp is ever 0
        self.world.advance(np.zeros(len(self.robot.joints)), 0)
        self._command = np.zeros(len(self.robot.joints))
        self._judge: Watcher = Judge(self.world, self.task)
        return self.observe()

    def _make_world(self) -> World:
        return World(self.robot, shaped=self._tasks.shapes != 'cubes')

    def retell(self, pair: tuple[str, str]) -> None:
        """Judge the episode that begins by another pair, (upper, lower); the scene stays."""
        self.task = self.task.of(pair)
        self._judge = Judge(self.world, self.task)

    def observe(self) -> Observation:
        """Return what the sensors see now."""
        world = self.world
        images = {c.name: self.render(c.name, c.height, c.width)
                  for c in self.robot.cameras} if self.pictures else {}
        return Observation(
            images=images,
            proprioception={POSITIONS: world.joint_positions.copy(),
                            VELOCITIES: world.joint_velocities[self._velocities]},
            stamp_ns=round(world.data.time * 1e9))

    def step(self, effort: np.ndarray, delay_s: float = 0.0) -> Observation:
        """Pass one control period under ``effort``, float64[N] in Nm (N for the finger).

        The former command acts for ``delay_s`` first, as it does while a policy thinks.
        """
        effort = self._checked(effort)
        world = self.world
        period_s = world.period_steps * world.timestep_s
        if not 0.0 <= delay_s <= period_s:
            raise ValueError(f'delay_s is {delay_s}, expected 0 to the control period {period_s}')
        self._pass(effort, round(delay_s / world.timestep_s))
        return self.observe()

    def _pass(self, effort: np.ndarray, late: int) -> None:
        """Let one control period pass; the former command acts for ``late`` physics steps."""
        if late:
            self.world.advance(self._command, late)
        self.world.advance(effort, self.world.period_steps - late)
        self._command = effort
        self._judge.watch()

    def advance(self, effort: np.ndarray, seconds: float) -> None:
        """Pass ``seconds``, a multiple of the physics step, under ``effort``; no pictures."""
        effort = self._checked(effort)
        steps = round(seconds / self.world.timestep_s)
        if steps < 0 or abs(steps * self.world.timestep_s - seconds) > 1e-6:
            raise ValueError(f'seconds is {seconds}, expected a multiple of the physics step '
                             f'{self.world.timestep_s}')
        self.world.advance(effort, steps)
        self._command = effort
        self._judge.watch()

    def render(self, camera: str, height: int = 480, width: int = 480) -> np.ndarray:
        """Return uint8[height, width, 3], RGB, from ``camera`` ('front' or 'wrist')."""
        return self._camera(camera, height, width).picture(self.world.data, camera, self.marks)

    def visible(self, camera: str, height: int, width: int) -> dict[str, int]:
        """Return how many pixels of a camera's picture show each block: training targets only."""
        geoms = self._camera(camera, height, width).geoms(self.world.data, camera)
        return {name: int((geoms == self.world.model.geom(name).id).sum()) for name in BLOCKS}

    def _camera(self, camera: str, height: int, width: int) -> Camera:
        cameras = [self.world.model.cam(i).name for i in range(self.world.model.ncam)]
        if camera not in cameras:
            raise ValueError(f'camera {camera!r} is unknown, expected one of {", ".join(cameras)}')
        size = height, width
        if size not in self._cameras:
            self._cameras[size] = Camera(self.world.model, height, width)
        return self._cameras[size]

    def targets(self) -> dict[str, np.ndarray]:
        """Return the simulator's state, float64 in the base frame: for training targets only.

        <block>_position  [3] m         <block>_from_tcp  [3] m
        <block>_yaw       [2]           (cos 4a, sin 4a): a cube looks alike after a quarter turn
        tcp_position      [3] m
        """
        world = self.world
        tcp = world.tcp
        values = {'tcp_position': tcp}
        for name in BLOCKS:
            angle = 4 * world.block_yaw(name)
            values[f'{name}_position'] = world.block(name)
            values[f'{name}_from_tcp'] = world.block(name) - tcp
            values[f'{name}_yaw'] = np.array([np.cos(angle), np.sin(angle)])
        return values

    @property
    def success(self) -> bool:
        """Whether the task was solved, for a quarter of a second on end."""
        return self._judge.success

    @property
    def failure(self) -> str:
        """What went wrong so far; '' on success."""
        return self._judge.failure

    @property
    def time_s(self) -> float:
        """Simulated time since the reset."""
        return float(self.world.data.time) - 1.0 / self.robot.rate_hz

    @property
    def time_limit_s(self) -> float:
        """Time after which an episode counts as failed."""
        return self.task.time_limit_s

    def close(self) -> None:
        """Free the cameras."""
        for camera in self._cameras.values():
            camera.close()
        self._cameras.clear()

    def _checked(self, effort: np.ndarray) -> np.ndarray:
        effort = np.array(effort, dtype=np.float64)
        if effort.shape != (len(self.robot.joints),):
            raise ValueError(f'effort has shape {effort.shape}, expected '
                             f'({len(self.robot.joints)},): one value for each joint of '
                             f'{self.robot.name!r}')
        if not np.all(np.isfinite(effort)):
            raise ValueError(f'effort is {effort.tolist()}, expected finite numbers')
        return effort
