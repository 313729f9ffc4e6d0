"""A camera's driver as a process: pictures of 640 x 480, numbered by their stamps in ms.

    python camera_driver.py TOPIC reliable|best_effort COUNT     # at 30 Hz, once somebody listens
"""

from __future__ import annotations

import sys
import time

import numpy as np
import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from gato_ros.nodes.common import convert


def main(topic: str, reliability: str, count: str) -> None:
    rclpy.init()
    node = rclpy.create_node('camera_driver')
    publisher = node.create_publisher(Image, topic, QoSProfile(
        depth=10, reliability=ReliabilityPolicy[reliability.upper()]))
    while not publisher.get_subscription_count():
        time.sleep(0.05)
    picture = convert.from_image(np.zeros((480, 640, 3), np.uint8), 0, '')
    for number in range(1, int(count) + 1):
        picture.header.stamp = convert.to_stamp(number * 1_000_000)
        publisher.publish(picture)
        time.sleep(1 / 30)
    time.sleep(2.0)  # for whoever asks again for a piece


if __name__ == '__main__':
    main(*sys.argv[1:])
