"""Small things that several unit tests share: a robot, a tiny model, episodes of noise."""

import numpy as np
import pytest
import torch

from gato_ros.episodes.episode import EpisodeInfo, EpisodeWriter
from gato_ros.model.architecture import load_architecture
from gato_ros.model.gato import Gato
from gato_ros.policy.checkpoint import CheckpointConfig, DomainConfig, save_checkpoint
from gato_ros.robot import TORQUES, load_robot


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope='session')
def robot():
    return load_robot('panda_sim')


@pytest.fixture
def lively_model():
    """A tiny model whose weights are large enough that every token matters."""
    torch.manual_seed(0)
    model = Gato(load_architecture('tiny'), {'place': 3}).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.add_(0.05 * torch.randn_like(parameter))
    model.embedding.local.weight[-1] = 0
    return model


@pytest.fixture
def make_checkpoint(tmp_path, lively_model, robot):
    """Return a function that saves the lively model with settings of its domain, and others."""
    def make(name='checkpoint', names_demonstrations=False, text_model='', more=(), **domain):
        domains = {'stacking': DomainConfig(robot.timestep(), **domain), **dict(more)}
        config = CheckpointConfig(lively_model.arch, domains, lively_model.auxiliary,
                                  names_demonstrations, text_model)
        save_checkpoint(tmp_path / name, config, lively_model.state_dict())
        return tmp_path / name
    return make


@pytest.fixture
def episodes(tmp_path, robot):
    """A folder of six episodes of ten random timesteps, all said to be successful."""
    folder = tmp_path / 'episodes'
    folder.mkdir()
    for seed in range(6):
        rng, writer = np.random.default_rng(seed), EpisodeWriter()
        for step in range(10):
            action = {TORQUES: rng.uniform(-5, 5, len(robot.joints))}
            writer.add(robot.example_observation(100 * seed + step), action, action,
                       {'place': rng.normal(size=3)})
        writer.save(folder / f'{seed}.safetensors', EpisodeInfo(
            'panda_sim', robot.timestep().hash, 'stack_wide', 'stack the red block', seed,
            'expert', True))
    return folder
