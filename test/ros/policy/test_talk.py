"""Questions to the policy node, and captions, while it answers observations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ros_bench import Bench, until
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String

from gato_ros.model.architecture import load_architecture
from gato_ros.model.gato import Gato
from gato_ros.nodes.common import convert, qos
from gato_ros.nodes.policy.policy_node import PolicyNode
from gato_ros.policy.checkpoint import (
    Checkpoint,
    CheckpointConfig,
    DomainConfig,
    load_checkpoint,
    save_checkpoint,
)
from gato_ros.policy.policy import GatoPolicy
from gato_ros.policy.words import Speaker
from gato_ros.robot import load_robot
from gato_ros.spec import ImageField, TimestepSpec
from gato_ros.untrusted import plain

ROBOT = load_robot('panda_sim')
ARM = {'stacking': DomainConfig(ROBOT.timestep(), window_timesteps=1)}
SCENES = {'scenes': DomainConfig(TimestepSpec(tuple(ImageField(c.name, 64, 64)
                                                    for c in ROBOT.cameras)))}
QUESTION = 'what is on the table?'


def checkpoint(folder: Path, domains: dict[str, DomainConfig]) -> Checkpoint:
    """Return weights that learnt nothing, and so say something of everything."""
    torch.manual_seed(0)
    model = Gato(load_architecture('tiny')).requires_grad_(False)
    for parameter in model.parameters():
        parameter.add_(0.05 * torch.randn_like(parameter))
    save_checkpoint(folder, CheckpointConfig(model.arch, domains), model.state_dict())
    return load_checkpoint(folder)


class Robot:
    """Publishes observations, asks, and hears what is said."""

    def __init__(self, bench: Bench, weights: Checkpoint) -> None:
        bench.add(PolicyNode(load=lambda params, robot: GatoPolicy(weights, robot.timestep())))
        self._images = {c.name: bench.publisher(Image, c.topic, qos.SENSORS)
                        for c in ROBOT.cameras}
        self._joints = bench.publisher(JointState, 'joint_states', qos.SENSORS)
        self.asking = bench.publisher(String, 'ask', qos.PROMPT)
        self.proposals = bench.record(JointState, 'proposed_effort', qos.EVENTS)
        self.text, self.saying, self.captions = (
            bench.record(String, topic, qos.EVENTS) for topic in ('text', 'saying', 'caption'))
        everyone = [*self._images.values(), self._joints, self.asking]
        until(lambda: all(p.get_subscription_count() for p in everyone), what='policy node')
        self.ms = 0

    def observe(self, grey: int) -> dict[str, np.ndarray]:
        """Publish an observation, wait for its proposal, return the pictures."""
        self.ms += 50
        pictures = {name: np.full((64, 64, 3), grey, np.uint8) for name in self._images}
        self._joints.publish(convert.from_joints(ROBOT.joint_names, np.zeros(8), np.zeros(8),
                                                 self.ms * 1_000_000))
        for name, publisher in self._images.items():
            publisher.publish(convert.from_image(pictures[name], self.ms * 1_000_000, name))
        count = len(self.proposals)
        until(lambda: len(self.proposals) > count, what='a proposal')
        return pictures

    def ask(self, question: str) -> str:
        """Return the whole answer."""
        count = len(self.text)
        self.asking.publish(String(data=question))
        return until(lambda: self.text[count:], what=f'an answer to {question[:30]!r}')[0][1].data


@pytest.fixture
def robot(bench: Bench, tmp_path: Path) -> Robot:
    return Robot(bench, checkpoint(tmp_path, {**ARM, **SCENES}))


def test_what_the_cameras_see_is_what_is_spoken_of(robot: Robot, tmp_path: Path) -> None:
    alone = Speaker(load_checkpoint(tmp_path), [c.name for c in ROBOT.cameras])
    answers = []
    for grey in (0, 200):
        pictures = robot.observe(grey)
        answers.append(robot.ask(QUESTION))
        assert answers[-1] == plain(''.join(alone.answer(QUESTION, pictures, 128)))
        grown = [msg.data for _, msg in robot.saying]
        assert grown[-1] == answers[-1] and len(grown) > 2
    assert answers[0] != answers[1]
    robot.observe(0)  # the arm's context is none the worse


def test_the_arm_is_answered_while_it_speaks(robot: Robot) -> None:
    robot.observe(0)
    robot.asking.publish(String(data=QUESTION))
    until(lambda: robot.saying, what='the first piece')
    robot.observe(10)
    assert not robot.text, 'the answer was over before the arm was answered; nothing is shown'


def test_a_question_too_long_is_refused_in_a_sentence(robot: Robot) -> None:
    robot.observe(0)
    assert 'expected at most 512' in robot.ask('why ' * 600)
    assert 'ask: a message of' in robot.ask('why ' * 10_000)
    assert robot.ask(QUESTION)


def test_weights_without_words_say_so(bench: Bench, tmp_path: Path) -> None:
    robot = Robot(bench, checkpoint(tmp_path, ARM))
    robot.observe(0)
    assert 'has no domain of words alone' in robot.ask(QUESTION)


@pytest.mark.parametrize('bench', [{'caption_s': 0.2}], indirect=True)
def test_captions_come_by_themselves(robot: Robot, tmp_path: Path) -> None:
    pictures = robot.observe(120)
    until(lambda: len(robot.captions) >= 2, what='two captions')
    alone = Speaker(load_checkpoint(tmp_path), [c.name for c in ROBOT.cameras])
    assert robot.captions[0][1].data == plain(''.join(alone.answer('', pictures, 128)))
