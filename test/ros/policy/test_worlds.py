"""Any domain's world and its player, processes over DDS, do what `gato-ros play` does."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from ros_bench import TIMEOUT_S, Bench, Processes, ended, until
from sensor_msgs.msg import Image, JointState, Joy
from std_msgs.msg import String

from gato_ros.domains.registry import find_task
from gato_ros.domains.wrappers import open_environment
from gato_ros.evaluation.actors import PolicyActor, Scene
from gato_ros.evaluation.rollout import rollout
from gato_ros.model.architecture import load_architecture
from gato_ros.model.gato import Gato
from gato_ros.nodes.common import qos, world_messages
from gato_ros.policy.checkpoint import (
    CheckpointConfig,
    DomainConfig,
    load_checkpoint,
    save_checkpoint,
)
from gato_ros.policy.policy import GatoPolicy
from gato_ros.spec import (
    ContinuousField,
    DiscreteField,
    ImageField,
    TimestepSpec,
    example_observation,
)

pytest.importorskip('gymnasium', reason="pip install 'gato_ros[gymnasium]'")
CARTPOLE = find_task('cartpole/balance')
# Numbers and pictures in, numbers out: a world of a file, which no package has.
PLANE = """
import numpy as np
from gato_ros.domains.domain import Domain, Environment, TaskSpec
from gato_ros.spec import ContinuousField, ImageField, Observation, TimestepSpec

class Plane(Environment):
    spec = TimestepSpec(
        images=(ImageField('from above', 16, 32),),
        continuous=(ContinuousField('place', ('x', 'y'), (-1.0, -1.0), (1.0, 1.0)),),
        continuous_actions=(ContinuousField('push', ('x', 'y'), (-0.1, -0.1), (0.1, 0.1)),))

    def reset(self, task, seed):
        self.place = np.random.default_rng(seed).uniform(-1, 1, 2)
        self.steps = 0
        return self.observe()

    def step(self, values):
        self.place = np.clip(self.place + values['push'], -1, 1)
        self.steps += 1
        return self.observe()

    def observe(self):
        return Observation({'from above': self.picture(32)}, {'place': self.place.copy()})

    ended = property(lambda self: self.steps >= 12)
    score = property(lambda self: float(self.place.sum()))
    sentence = property(lambda self: 'go up')

    def picture(self, size):
        return np.full((size // 2, size, 3), int(127 * (1 + self.place[0])), np.uint8)

class PlaneDomain(Domain):
    name = 'plane'
    tasks = {'up': TaskSpec('up', 'go up')}
    demonstrators = ()
    def specification(self, task): return Plane.spec
    def environment(self): return Plane()
    def demonstrator(self, environment, kind, rng): raise NotImplementedError
"""


def weights(folder: Path, **domains: TimestepSpec) -> Path:
    """Write a checkpoint that learnt nothing, and so does something in every world."""
    torch.manual_seed(0)
    model = Gato(load_architecture('tiny')).requires_grad_(False)
    for parameter in model.parameters():
        parameter.add_(0.05 * torch.randn_like(parameter))
    save_checkpoint(folder, CheckpointConfig(model.arch, {
        name: DomainConfig(spec, temperature=1.0) for name, spec in domains.items()}),
        model.state_dict())
    return folder


def played(checkpoint: Path, task: str, seed: int) -> tuple[float, int]:
    """Return score and steps of an episode without ROS."""
    domain, name = find_task(task)
    environment = open_environment(domain)
    actor = PolicyActor(lambda scene: GatoPolicy(load_checkpoint(checkpoint), domain.name))
    outcome = rollout(Scene(domain, environment, task, name, seed), actor)
    environment.close()
    return outcome.score, outcome.steps


def test_one_player_plays_one_world_after_the_other_as_without_ros(
        bench: Bench, processes: Processes, tmp_path: Path) -> None:
    plane = tmp_path / 'plane.py'
    plane.write_text(PLANE)
    checkpoint = weights(tmp_path / 'weights', cartpole=CARTPOLE[0].specification('balance'),
                         plane=find_task(f'{plane}/up')[0].specification('up'))
    said = bench.record(String, world_messages.EPISODE_TOPIC, qos.EPISODES)
    pressed = bench.record(Joy, world_messages.JOY, qos.RECORD)
    commands = bench.record(JointState, world_messages.COMMAND, qos.RECORD)
    pictures = bench.record(Image, world_messages.PICTURE, qos.RECORD)
    processes.node('player_node', checkpoint=checkpoint)
    for domain, task in (('cartpole', 'balance'), (plane, 'up')):
        world = processes.node('world_node', domain=domain, task=task, seed=3, episodes=2,
                               rate_hz=1000.0, pause_s=0.0, exit_when_done=True)
        assert world.wait(timeout=2 * TIMEOUT_S) == 0
    found = [(row['seed'], row['score'], row['steps']) for row in until(
        lambda: len(ended(said)) == 4 and ended(said), what='four episodes')]
    expected = [(seed, *played(checkpoint, task, seed))
                for task in ('cartpole/balance', f'{plane}/up') for seed in (3, 4)]
    assert found == expected
    assert len(pressed) >= sum(steps for _, _, steps in found[:2])
    assert all(sorted(msg.buttons) == [0, 1] for _, msg in pressed)
    assert commands[0][1].name == ['push.x', 'push.y'] and pictures


def test_a_world_that_the_weights_do_not_know_is_named(bench: Bench, processes: Processes,
                                                       tmp_path: Path) -> None:
    said = bench.record(String, 'text', qos.EVENTS)
    checkpoint = weights(tmp_path / 'weights', stars=TimestepSpec(
        discrete=(DiscreteField('sky', ('light',), 2),)))
    processes.node('player_node', checkpoint=checkpoint)
    until(lambda: bench.found('text'), what='the player')
    processes.node('world_node')
    assert "does not know the world 'cartpole'" in until(
        lambda: said, what='a sentence')[0][1].data


def test_nonsense_is_passed_over_and_the_answer_taken(bench: Bench, processes: Processes) -> None:
    """The player is played by this test."""
    states = bench.record(JointState, world_messages.STATE, qos.SENSORS)
    joy = bench.publisher(Joy, world_messages.JOY, qos.EVENTS)
    world = processes.node('world_node', pause_s=0.0)
    first = until(lambda: states, what='a timestep')[0][1]
    assert first.name == [f'observation.{name}' for name in (
        'position', 'velocity', 'angle', 'turning')]
    nonsense = [Joy(header=first.header, buttons=row) for row in ([], [1, 1], [0, 0], [0, 1, 0])]

    def send(*messages: Joy) -> None:  # again and again: the world may not hear us yet
        for msg in messages:
            joy.publish(msg)
        time.sleep(0.1)

    until(lambda: send(*nonsense, Joy(buttons=[1, 0])) or 'passed over' in world.log.read_text(),
          what='a refusal')
    assert all(msg.header.stamp == first.header.stamp for _, msg in states)
    until(lambda: send(Joy(header=first.header, buttons=[0, 1])) or (
        states[-1][1].header.stamp != first.header.stamp), what='the next timestep')
    assert states[-1][1].position[1] > first.position[1], 'pushed to the right'


@pytest.mark.parametrize(('domain', 'task', 'sentence'), [
    ('nowhere', 'balance', "domain 'nowhere' is unknown"),
    ('cartpole', 'fly', "task 'fly' is unknown in the domain 'cartpole'"),
    ('stacking', 'stack_wide', 'has a robot, expected one without: sim_node')])
def test_what_is_no_world_is_one_sentence(processes: Processes, domain: str, task: str,
                                          sentence: str) -> None:
    world = processes.node('world_node', domain=domain, task=task)
    assert world.wait(timeout=TIMEOUT_S) == 1
    words = world.log.read_text()
    assert sentence in words and 'Traceback' not in words


def test_a_timestep_survives_its_messages() -> None:
    spec = TimestepSpec(
        continuous=(ContinuousField('a', ('x', 'y'), (-1.0, -2.0), (1.0, 2.0)),),
        discrete=(DiscreteField('b', ('x',), 5),),
        continuous_actions=(ContinuousField('push', ('x',), (-1.0,), (1.0,)),),
        discrete_actions=(DiscreteField('keys', ('left', 'right'), 3),
                          DiscreteField('more', ('one',), 2)))
    seen = example_observation(spec, 1).proprioception
    msg = world_messages.from_numbers(spec.tensors, seen, 7, '1')
    back = world_messages.to_numbers(msg, spec.tensors, 'world/state')
    assert all(np.array_equal(seen[name], back[name]) and seen[name].dtype == back[name].dtype
               for name in seen)
    done = {'keys': np.array([2, 0]), 'more': np.array([1]), 'push': np.array([0.1])}
    joy = world_messages.from_buttons(world_messages.choices(spec), done, 7)
    assert list(joy.buttons) == [0, 0, 1, 1, 0, 0, 0, 1]
    pressed = world_messages.to_buttons(joy, world_messages.choices(spec))
    assert {name: list(value) for name, value in pressed.items()} == {'keys': [2, 0], 'more': [1]}
    assert world_messages.camera_of(ImageField('from above', 16, 16)).topic == (
        'world/from_above/image_raw')
