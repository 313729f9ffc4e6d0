"""The same messages, once through a bag and once as they come live, are the same tokens."""

from __future__ import annotations

import array
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcap.well_known import MessageEncoding, SchemaEncoding
from mcap.writer import Writer
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image, JointState

from gato_ros.episodes.episode import read_slice
from gato_ros.episodes.recordings.bag import import_bag
from gato_ros.episodes.recordings.definitions import DEFINITIONS, IMAGE, JOINTS
from gato_ros.nodes.common import convert
from gato_ros.nodes.sensing.inputs import Inputs
from gato_ros.robot import POSITIONS, TORQUES, VELOCITIES, load_robot
from gato_ros.spec import Observation
from gato_ros.tokens.sequence import TimestepTokenizer, TokenBlock

ROBOT = load_robot('panda_sim')
STEPS, PERIOD_NS = 4, 50_000_000
START_NS = 1_790_000_000_123_456_789  # a robot's clock: such stamps do not fit into a float


def padded_bgr(msg: Image) -> Image:
    """Return the picture as another driver would send it: blue first, 8 bytes after each row."""
    pixels = np.frombuffer(msg.data, np.uint8).reshape(msg.height, msg.width, 3)[:, :, ::-1]
    rows = np.pad(pixels.reshape(msg.height, -1), ((0, 0), (0, 8)))
    msg.encoding, msg.step, msg.data = 'bgr8', rows.shape[1], array.array('B', rows.tobytes())
    return msg


def arrays(step: int) -> tuple[Observation, np.ndarray]:
    """Return what the messages of a step are made from."""
    effort = np.random.default_rng(step).uniform(-ROBOT.scale, ROBOT.scale)
    return ROBOT.example_observation(step), effort


def messages(step: int) -> tuple[JointState, dict[str, Image], JointState]:
    """Return joint states with two joints more than we know, pictures, and what was sent."""
    observation, effort = arrays(step)
    stamp_ns = START_NS + step * PERIOD_NS
    moving = dict(zip(next(f.names for f in ROBOT.timestep().continuous if f.name == VELOCITIES),
                      observation.proprioception[VELOCITIES], strict=True))
    positions = observation.proprioception[POSITIONS]
    joints = convert.from_joints(
        ['wheel', *ROBOT.joint_names[::-1], 'panda_finger_joint2'],
        np.array([9.0, *positions[::-1], positions[-1]]),
        np.array([9.0, *(moving.get(name, 0.0) for name in ROBOT.joint_names[::-1]), 0.0]),
        stamp_ns)
    images = {name: convert.from_image(picture, stamp_ns, f'camera_{name}')
              for name, picture in observation.images.items()}
    images['wrist'] = padded_bgr(images['wrist'])
    return joints, images, convert.from_effort(ROBOT.joint_names, effort, stamp_ns)


def record(file: Path) -> None:
    """Write the messages as their publishers' middleware serialises them."""
    topics = {camera.name: camera.topic for camera in ROBOT.cameras}
    with file.open('wb') as stream:
        writer = Writer(stream)
        writer.start(profile='ros2')
        schemas = {kind: writer.register_schema(kind, SchemaEncoding.ROS2, text.encode())
                   for kind, text in DEFINITIONS.items()}
        channels: dict[str, int] = {}

        def write(topic: str, kind: str, msg: Any) -> None:
            if topic not in channels:
                channels[topic] = writer.register_channel(f'/{topic}', MessageEncoding.CDR,
                                                          schemas[kind])
            now = convert.to_ns(msg.header.stamp)
            writer.add_message(channels[topic], now, serialize_message(msg), now)

        for step in range(STEPS):
            joints, images, sent = messages(step)
            write('joint_states', JOINTS, joints)
            for name, msg in images.items():
                write(topics[name], IMAGE, msg)
            write('sent_effort', JOINTS, sent)
        writer.finish()


def live(step: int, inputs: Inputs, tokenizer: TimestepTokenizer) -> TokenBlock:
    """Return the timestep as the policy node takes it from its subscriptions."""
    joints, images, sent = messages(step)
    inputs.put_joints(joints)
    for name, msg in images.items():
        inputs.put_image(name, msg)
    snapshot = inputs.pick()
    inputs.use(snapshot)
    observation = snapshot.observation(ROBOT)
    assert observation.stamp_ns == START_NS + step * PERIOD_NS
    return tokenizer.encode(observation.images, observation.proprioception,
                            {TORQUES: convert.to_effort(sent, ROBOT, 'sent_effort')})


def test_a_bag_and_live_topics_are_equal_token_for_token(tmp_path: Path) -> None:
    record(tmp_path / 'demo.mcap')
    done = import_bag(tmp_path / 'demo.mcap', tmp_path, ROBOT, 'stack_wide',
                      'stack the red block on the blue block', success=True)
    assert done.steps == STEPS and done.longest_s == pytest.approx(0.05)
    data = read_slice(done.file, 0, STEPS)
    tokenizer, inputs = TimestepTokenizer(ROBOT.timestep()), Inputs(ROBOT)
    bag = tokenizer.encode(data['image'], data['tensor'], data['sent'])
    for step in range(STEPS):
        observation, effort = arrays(step)
        origin = tokenizer.encode(observation.images, observation.proprioception,
                                  {TORQUES: effort})
        topics = live(step, inputs, tokenizer)
        assert bag.ids[step].tolist() == topics.ids.tolist() == origin.ids.tolist()
        assert np.array_equal(bag.patches[step], topics.patches)
        assert np.array_equal(bag.patches[step], origin.patches)
