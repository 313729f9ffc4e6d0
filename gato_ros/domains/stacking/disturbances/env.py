"""The blocks' world under a disturbance; what is drawn for it is a function of the seed."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import numpy as np

from gato_ros.domains.stacking.disturbances.conditions import Disturbance
from gato_ros.domains.stacking.disturbances.model import (
    FOURTH,
    change_model,
    free_spot,
    put_fourth,
)
from gato_ros.domains.stacking.env import StackingEnv
from gato_ros.domains.stacking.expert import GRAVITY
from gato_ros.domains.stacking.physics import mujoco
from gato_ros.domains.stacking.reset import CENTRE
from gato_ros.domains.stacking.shapes import cube
from gato_ros.domains.stacking.tasks import BLOCKS, EXTENT, Task
from gato_ros.domains.stacking.world import World
from gato_ros.robot import POSITIONS, VELOCITIES, RobotSpec
from gato_ros.spec import Observation

MOMENT_S = 0.5, 3.0  # when a push or a blackout begins
PUSH_S = 0.2
NEAR = 0.05  # m from the hand to a block that is about to be grasped


class DisturbedEnv(StackingEnv):
    """One task under one disturbance."""

    def __init__(self, robot: RobotSpec, task: Task, disturbance: Disturbance,
                 randomise: bool = False, render: bool = True) -> None:
        self.disturbance = disturbance
        super().__init__(robot, task, randomise, render)

    def _make_world(self) -> World:
        differs = self.disturbance
        shaped = self._tasks.shapes != 'cubes' or differs.side_mm != 40
        world = World(self.robot, shaped, FOURTH if differs.fourth else '')
        if differs.side_mm != 40:
            world.reshape(dict.fromkeys(BLOCKS, cube(differs.side_mm)))
        change_model(world, differs)
        return world

    def reset(self, seed: int) -> Observation:
        self._begun = False
        super().reset(seed)
        differs, rng = self.disturbance, np.random.default_rng((seed, 13))
        self._rng, self._now, self._moved = rng, 0, False
        self._moment = float(rng.uniform(*MOMENT_S))
        angle = rng.uniform(-np.pi, np.pi)
        self._level = np.array([np.cos(angle), np.sin(angle), 0.0])  # some direction
        way = rng.normal(size=3)
        camera = self.world.model.camera('front')
        camera.pos[:] += differs.camera_m * way / np.linalg.norm(way)
        mujoco.mju_quatIntegrate(camera.quat, way / np.linalg.norm(way), differs.camera_rad)
        if differs.fourth:
            self._put_fourth()
        self.world.forward()
        self._seen: deque[Observation] = deque(maxlen=differs.late + 1)
        self._begun = True
        return self.observe()

    def _pass(self, effort: np.ndarray, late: int) -> None:
        differs, world = self.disturbance, self.world
        if differs.gain != 1.0:
            effort = np.where(world.arm, differs.gain * effort, effort)
        force = world.data.xfrc_applied[world.model.body('panda_hand').id]
        force[:3] = differs.push_n * self._level * self._is_moment(PUSH_S)
        force[2] -= GRAVITY * differs.load_kg
        super()._pass(effort, late)
        self._now += 1
        if differs.moved_m and not self._moved:
            self._move_block()

    def observe(self) -> Observation:
        if not self._begun:
            return Observation()
        differs, now = self.disturbance, super().observe()
        images, joints = dict(now.images), dict(now.proprioception)
        if not differs.black_s or self._is_moment(differs.black_s):
            images |= {name: np.zeros_like(images[name]) for name in differs.black
                       if name in images}
        if differs.pixel_noise:
            images = {name: np.clip(picture + self._rng.normal(
                0, differs.pixel_noise, picture.shape), 0, 255).astype(np.uint8)
                for name, picture in images.items()}
        for name, deviation in ((POSITIONS, 1.0), (VELOCITIES, 10.0)):
            if differs.joint_noise:
                noise = self._rng.normal(0, deviation * differs.joint_noise, joints[name].shape)
                joints[name] = joints[name] + noise * self._turns[name]
        self._seen.append(Observation(images, joints, stamp_ns=now.stamp_ns))
        return replace(self._seen[0], stamp_ns=now.stamp_ns)

    @property
    def _turns(self) -> dict[str, np.ndarray]:
        """Which of the positions and of the velocities are the arm's, not the finger's."""
        return {POSITIONS: self.world.arm, VELOCITIES: self.world.arm[self._velocities]}

    def _is_moment(self, seconds: float) -> bool:
        """Whether the episode's moment has come, and ``seconds`` from then on are not over."""
        return self._moment <= self._now / self.robot.rate_hz < self._moment + seconds

    def _put_fourth(self) -> None:
        """Put the fourth block to a free place; two of a colour are told apart by words."""
        world = self.world
        spot = free_spot(world, self._rng)
        put_fourth(world, spot, float(self._rng.uniform(-np.pi, np.pi)))
        if self.disturbance.fourth == 'red':
            side = 'left' if world.block('red')[1] < spot[1] else 'right'  # as the camera sees it
            said = self.task.sentence.replace('the red block', f'the {side} red block')
            self.task = replace(self.task, sentence=said)

    def _move_block(self) -> None:
        """Put the block that the hand is about to grasp aside, where there is room for it."""
        world, name = self.world, self.task.blocks[0]
        block = world.block(name)
        if world.held(name) or np.linalg.norm(world.tcp - block) > NEAR:
            return
        self._moved = True
        for turn in np.arange(8) * np.pi / 4:
            c, s = np.cos(turn), np.sin(turn)
            way = np.array([c * self._level[0] - s * self._level[1],
                            s * self._level[0] + c * self._level[1], 0.0])
            spot = block + self.disturbance.moved_m * way
            inside = np.all(np.abs(spot[:2] - CENTRE) <= EXTENT['wide'])
            gaps = [np.linalg.norm(world.block(b)[:2] - spot[:2]) for b in BLOCKS if b != name]
            if inside and min(gaps) > 0.06:
                world.place(name, spot, world.block_yaw(name))
                world.forward()
                return
