"""A camera's driver as a process, to be killed: passes on the pictures of one of the simulator's.

    python camera_source.py TOPIC       # from lens/TOPIC to TOPIC
"""

from __future__ import annotations

import sys
from contextlib import suppress

import rclpy
from rclpy.executors import ExternalShutdownException
from sensor_msgs.msg import Image

from gato_ros.nodes.common import qos


def main() -> None:
    rclpy.init()
    node = rclpy.create_node('camera_source')
    publisher = node.create_publisher(Image, sys.argv[1], qos.SENSORS)
    node.create_subscription(Image, f'lens/{sys.argv[1]}', publisher.publish, qos.NEWEST)
    with suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(node)


if __name__ == '__main__':
    main()
