"""How messages travel to and from the gate: never through Fast DDS's shared memory.

A process that is killed while it holds the lock of its shared memory keeps whoever writes to it
waiting for a second, in all its threads, because rclpy keeps Python's own lock meanwhile.
"""

from __future__ import annotations

import os

import rclpy

from gato_ros.config import data_path

RANGE = 'ROS_AUTOMATIC_DISCOVERY_RANGE'
# Who has set one of these has settled how the middleware works.
SETTLED = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE',
           'FASTDDS_BUILTIN_TRANSPORTS', 'ROS_DISCOVERY_SERVER', 'ROS_STATIC_PEERS')


def avoid_shared_memory() -> None:
    """Choose UDP for this process, before rclpy.init; other middleware than Fast DDS is let alone.

    With LOCALHOST its ROS layer chooses the transports itself, so a profile takes its place.
    """
    if (rclpy.get_rmw_implementation_identifier() != 'rmw_fastrtps_cpp'
            or any(os.environ.get(name) for name in SETTLED)):
        return
    if os.environ.get(RANGE) == 'LOCALHOST':
        os.environ['FASTRTPS_DEFAULT_PROFILES_FILE'] = str(
            data_path('config', 'fastdds', 'loopback.xml'))
        os.environ[RANGE] = 'SYSTEM_DEFAULT'
    else:
        os.environ['FASTDDS_BUILTIN_TRANSPORTS'] = 'UDPv4'
