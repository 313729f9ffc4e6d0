"""Environments for the simulator's tests: real physics, without pictures unless a test asks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gato_ros.domains.stacking.env import StackingEnv
from gato_ros.domains.stacking.expert import Expert
from gato_ros.domains.stacking.tasks import load_task
from gato_ros.model.architecture import load_architecture
from gato_ros.model.gato import Gato
from gato_ros.policy.checkpoint import CheckpointConfig, DomainConfig, save_checkpoint
from gato_ros.robot import RobotSpec, load_robot


@pytest.fixture(scope='session')
def robot() -> RobotSpec:
    return load_robot('panda_sim')


@pytest.fixture
def make_env(robot: RobotSpec) -> Callable[..., StackingEnv]:
    def make(task: str = 'stack_wide', render: bool = False, **options: bool) -> StackingEnv:
        return StackingEnv(robot, load_task(task), render=render, **options)

    return make


@pytest.fixture
def solve() -> Callable[[StackingEnv], int]:
    """Let the expert act until success or the time limit; returns the number of steps."""

    def run(env: StackingEnv) -> int:
        expert, steps = Expert(env), 0
        while not env.success and env.time_s < env.time_limit_s:
            env.step(expert.act())
            steps += 1
        return steps

    return run


@pytest.fixture
def checkpoint(tmp_path: Path, robot: RobotSpec) -> Path:
    """A checkpoint that has learnt nothing."""
    torch.manual_seed(0)
    arch = load_architecture('tiny')
    config = CheckpointConfig(arch, {'stacking': DomainConfig(
        robot.timestep(), window_timesteps=1, temperature=1.0)})
    save_checkpoint(tmp_path / 'checkpoint', config, Gato(arch).state_dict())
    return tmp_path / 'checkpoint'
