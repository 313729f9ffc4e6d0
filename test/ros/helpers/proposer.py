"""A source of proposals as a process, to be killed: the same effort at 20 Hz.

    python proposer.py EFFORT_OF_JOINT_1 FORCE_OF_THE_FINGER
"""

from __future__ import annotations

import sys
import time

import numpy as np
import rclpy
from sensor_msgs.msg import JointState

from gato_ros.nodes.common import convert, qos
from gato_ros.robot import load_robot


def main() -> None:
    robot = load_robot('panda_sim')
    effort = np.zeros(len(robot.joints))
    effort[0], effort[-1] = map(float, sys.argv[1:3])
    rclpy.init()
    node = rclpy.create_node('proposer')
    publisher = node.create_publisher(JointState, 'proposed_effort', qos.COMMAND)
    due = time.monotonic()
    for step in range(1, 10_000):
        publisher.publish(convert.from_effort(robot.joint_names, effort, step * 50_000_000))
        due += 0.05
        time.sleep(max(0.0, due - time.monotonic()))


if __name__ == '__main__':
    main()
