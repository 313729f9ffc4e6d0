"""Windows: none reaches over a hole, none is longer at control than what was learnt."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest

from gato_ros.config import ConfigError
from gato_ros.episodes.episode import HOLES, EpisodeError, EpisodeInfo, EpisodeWriter
from gato_ros.policy.checkpoint import DomainConfig
from gato_ros.robot import TORQUES
from gato_ros.training.data.mixture import Mixture
from gato_ros.training.domains import domains_of
from gato_ros.training.settings import SourceSettings, TrainSettings


def write(folder, robot, name, steps, holes=()):
    rng, writer = np.random.default_rng(0), EpisodeWriter()
    for step in range(steps):
        action = {TORQUES: rng.uniform(-5, 5, len(robot.joints))}
        writer.add(robot.example_observation(step), action, action, {'place': np.zeros(3)})
    folder.mkdir(exist_ok=True)
    writer.save(folder / f'{name}.safetensors', EpisodeInfo(
        'panda_sim', robot.timestep().hash, 'stack_wide', 'stack the red block', 0, 'expert',
        True, extra={HOLES: list(holes)}))
    return folder


def source(folder, **changes):
    return SourceSettings(**{'folders': (str(folder),), 'timesteps': 3, 'prompt_fraction': 0.0,
                             'sentence_fraction': 0.0, **changes})


def test_no_window_reaches_over_a_hole(tmp_path, robot):
    folder = write(tmp_path / 'a', robot, 'torn', 9, holes=(4, 8))
    windows = Mixture((source(folder),), 0).sources[0]
    rng = np.random.default_rng(0)
    starts = {int(windows._draw(rng)[1][0]) for _ in range(200)}
    assert starts == {0, 1, 4, 5}


def test_an_episode_without_a_whole_window_does_not_serve(tmp_path, robot):
    folder = write(tmp_path / 'a', robot, 'torn', 6, holes=(2, 4))
    with pytest.raises(EpisodeError, match='usable'):
        Mixture((source(folder),), 0)


def test_episodes_shorter_than_the_window_are_said(tmp_path, robot):
    folder = write(tmp_path / 'a', robot, 'long', 5)
    write(folder, robot, 'short', 2)
    with pytest.warns(UserWarning, match='1 of 2 episodes in .* are shorter than a sequence of 3 '
                                         'timesteps and are left out'):
        found = Mixture((source(folder),), 0).sources[0]
    assert len(found.episodes) == 1
    shutil.rmtree(folder)


@pytest.mark.parametrize(('timesteps', 'window', 'visible'), [
    (1, None, 1), (1, 1, 1), (3, None, None), (3, 2, 2)])
def test_what_is_visible_at_control_was_learnt(tmp_path, robot, timesteps, window, visible):
    found = known(write(tmp_path / 'a', robot, 'one', 5), timesteps, window)
    assert found['stacking'].window_timesteps == visible


def test_a_window_that_was_never_trained_is_refused(tmp_path, robot):
    folder = write(tmp_path / 'a', robot, 'one', 5)
    with pytest.raises(ConfigError, match="window_timesteps of 'stacking' is 18, but its "
                                          'sequences hold 1 timestep, expected 1'):
        known(folder, 1, 18)
    former = DomainConfig(robot.timestep(), window_timesteps=4)
    assert known(folder, 1, 4, former)['stacking'].window_timesteps == 4, 'it has learnt that'


def known(folder, timesteps, window, former=None):
    settings = TrainSettings('tiny', 1, 1, robot='panda_sim', window_timesteps=window,
                             data=source(folder, timesteps=timesteps))
    before = None if former is None else dataclasses.make_dataclass('Config', ['domains'])(
        {'stacking': former})
    return domains_of(Mixture(settings.sources, 0), settings, before)
