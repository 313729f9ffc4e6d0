"""The scripted person: stacks by keys, slowly; in hindsight it is worth an expert's labels."""

from __future__ import annotations

import numpy as np
import pytest

from gato_ros.config import ConfigError
from gato_ros.domains.stacking.env import StackingEnv
from gato_ros.domains.stacking.expert import Expert
from gato_ros.domains.stacking.person import Gap, Person, keys
from gato_ros.domains.stacking.tasks import load_task
from gato_ros.episodes.episode import list_episodes, read_slice
from gato_ros.episodes.hindsight import labels
from gato_ros.jog import Wish
from gato_ros.robot import POSITIONS, TORQUES, load_robot
from gato_ros.training.collect import CollectSettings, collect

ROBOT = load_robot('panda_sim')


def test_a_person_stacks_whatever_pair_is_asked_for() -> None:
    for task in ('stack_blue_on_green_wide', 'stack_red_on_blue_narrow'):
        env = StackingEnv(ROBOT, load_task(task), render=False)
        seconds = []
        for seed in range(600_000, 600_005):
            env.reset(seed)
            person = Person(env, np.random.default_rng((seed, 1)))
            while not env.success and env.time_s < env.time_limit_s:
                effort = person.act()
                assert np.all(np.abs(effort) <= ROBOT.scale + 1e-9)
                env.step(effort)
            seconds += [env.time_s] * env.success
        assert len(seconds) >= 4 and min(seconds) > 5.0, (task, seconds)


def test_keys_are_pressed_slower_near_the_goal_and_not_at_all_at_it() -> None:
    far = keys(Gap(np.array([0.3, -0.3, 0.001]), 0.5, -1), 0.05)
    assert far == Wish((1, -1, 0), (0, 0, 1), (), -1, speed=0.7)
    near = keys(Gap(np.array([0.01, 0, 0]), 0.0, 1), 0.05)
    assert near == Wish((1, 0, 0), (0, 0, 0), (), 1, speed=0.1)
    assert keys(Gap(np.zeros(3), 0.0, 1), 0.05).linear == (0, 0, 0)


def test_what_a_person_meant_is_nearer_to_the_expert_than_what_their_keys_did() -> None:
    env = StackingEnv(ROBOT, load_task('stack_wide'), render=False)
    for seed in (600_000, 600_003, 600_004):
        env.reset(seed)
        person, expert = Person(env, np.random.default_rng(seed)), Expert(env)
        positions, sent, wanted = [], [], []
        while not env.success and env.time_s < env.time_limit_s:
            positions.append(env.world.joint_positions.copy())
            wanted.append(expert.act())
            sent.append(person.act())
            env.step(sent[-1])
        meant = labels(ROBOT, np.array(positions), np.array(sent))
        by_keys, by_aim = (np.corrcoef(torques[:, :4].flat, np.array(wanted)[:, :4].flat)[0, 1]
                           for torques in (np.array(sent), meant))
        assert by_aim > 0.65 and by_aim > by_keys + 0.1, (seed, by_keys, by_aim)


def test_a_persons_episodes_are_collected_as_teleoperation(tmp_path) -> None:
    settings = CollectSettings(tmp_path, 1, ('stack_narrow',), noise=0.0, actor='person',
                               workers=1)
    assert dict(collect(settings)) == {100_000: True}
    (path, info), = list_episodes(tmp_path)
    assert info.source == 'teleoperation' and info.length > 100
    data = read_slice(path, 0, info.length)
    assert np.array_equal(data['action'][TORQUES], data['sent'][TORQUES])
    assert data['tensor'][POSITIONS].shape == (info.length, 8)


def test_a_person_neither_labels_a_policys_steps_nor_lifts(tmp_path) -> None:
    with pytest.raises(ConfigError, match="actor 'person' and a policy are both given"):
        CollectSettings(tmp_path, 1, actor='person', policy=tmp_path)
    with pytest.raises(ConfigError, match="actor is 'person', expected one of expert, random"):
        CollectSettings(tmp_path, 1, ('lift_red_narrow',), actor='person')
