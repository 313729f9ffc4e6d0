"""A timestep is the same tokens, id for id, whether it comes from arrays, a bag or live topics."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from ros_bench import Bench, until
from sensor_msgs.msg import Image, JointState

from gato_ros.domains.stacking.env import StackingEnv
from gato_ros.domains.stacking.tasks import load_task
from gato_ros.nodes.common import convert, qos
from gato_ros.nodes.sensing.inputs import Inputs
from gato_ros.nodes.simulator.robot_topics import RobotTopics
from gato_ros.robot import load_robot
from gato_ros.spec import Observation
from gato_ros.tokens.sequence import TimestepTokenizer

ROBOT = load_robot('panda_sim')


def assert_equal_tokens(one: Observation, other: Observation) -> None:
    tokenizer = TimestepTokenizer(ROBOT.timestep())
    first, second = tokenizer.observe(one), tokenizer.observe(other)
    assert first.ids.tolist() == second.ids.tolist()
    assert np.array_equal(first.patches, second.patches)
    assert one.stamp_ns == other.stamp_ns


def through_bytes(msg: Image | JointState) -> Image | JointState:
    """Return the message as a bag would give it back."""
    return deserialize_message(serialize_message(msg), type(msg))


@pytest.mark.sim
def test_a_bag_gives_the_same_tokens() -> None:
    env = StackingEnv(ROBOT, load_task('stack_wide'))
    observation = env.reset(seed=1)
    inputs = Inputs(ROBOT)
    inputs.put_joints(through_bytes(convert.from_joints(
        ROBOT.joint_names, env.world.joint_positions, env.world.joint_velocities,
        observation.stamp_ns)))
    for name, picture in observation.images.items():
        inputs.put_image(name, through_bytes(
            convert.from_image(picture, observation.stamp_ns, name)))
    assert_equal_tokens(inputs.pick().observation(ROBOT), observation)
    env.close()


@pytest.mark.sim
def test_live_topics_give_the_same_tokens(bench: Bench) -> None:
    env = StackingEnv(ROBOT, load_task('stack_wide'))
    inputs = Inputs(ROBOT, lock_step=True)

    def put_image(name: str) -> Callable[[Image], None]:
        return lambda msg: inputs.put_image(name, msg)

    for camera in ROBOT.cameras:
        bench.node.create_subscription(Image, camera.topic, put_image(camera.name), qos.NEWEST)
    bench.node.create_subscription(JointState, 'joint_states', inputs.put_joints, qos.JOINTS)
    topics = RobotTopics(bench.node, ROBOT)
    observation = env.reset(seed=2)
    for _ in range(5):
        def arrived(observation: Observation = observation) -> bool:
            topics.publish(env, observation)
            snapshot = inputs.pick()
            return snapshot is not None and snapshot.stamp_ns == observation.stamp_ns
        until(lambda: ready(arrived), what='an observation')
        snapshot = inputs.pick()
        assert_equal_tokens(snapshot.observation(ROBOT), observation)
        inputs.use(snapshot)
        observation = env.step(ROBOT.scale * 0.2)
    env.close()


def ready(arrived: Callable[[], bool]) -> bool:
    """Poll; before the first message of a camera there is nothing to pick."""
    from gato_ros.nodes.sensing.mailbox import Stale
    try:
        return arrived()
    except Stale:
        return False
