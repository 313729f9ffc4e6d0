"""A node named like a controller reads its parameters from our file, in any namespace."""

from __future__ import annotations

from pathlib import Path

import pytest
import rclpy
from rclpy.node import Node

from gato_ros.config import data_path, read_yaml
from gato_ros.robot import load_robot

FILES = sorted(data_path('config', 'controllers').glob('*.yaml'))


@pytest.mark.parametrize('namespace', ['/', '/left'])
@pytest.mark.parametrize('file', FILES, ids=lambda file: file.stem)
def test_ros_finds_the_joints_and_the_interface(file: Path, namespace: str) -> None:
    robot = load_robot(file.stem)
    context = rclpy.Context()
    rclpy.init(context=context, args=[])
    try:
        for name in (key.rpartition('/')[2] for key in read_yaml(file)):
            node = Node(name, namespace=namespace, context=context,
                        automatically_declare_parameters_from_overrides=True,
                        cli_args=['--ros-args', '--params-file', str(file)])
            joints = [joint.name for joint in robot.joints if joint.controller == name]
            assert node.get_parameter('joints').value == joints
            assert node.get_parameter('interface_name').value == robot.interface
            node.destroy_node()
    finally:
        rclpy.try_shutdown(context=context)
