"""launch/sim.launch.py: its arguments, and that it starts the three nodes."""

from __future__ import annotations

import importlib.util

import pytest
from ros_bench import ROOT

pytest.importorskip('launch_ros', reason='the package launch_ros is not installed')


def test_every_argument_is_described_and_three_nodes_start() -> None:
    from launch_ros.actions import Node

    path = ROOT / 'launch' / 'sim.launch.py'
    spec = importlib.util.spec_from_file_location('sim_launch', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    description = module.generate_launch_description()
    arguments = {a.name: a for a in description.get_launch_arguments()}
    assert set(arguments) == {'robot', 'task', 'prompt', 'checkpoint', 'seeds', 'mode',
                              'scheduling', 'viewer'}
    assert all(a.description != 'no description given' for a in arguments.values())
    nodes = [e for e in description.entities if isinstance(e, Node)]
    assert [n.node_executable for n in nodes] == ['sim_node', 'safety_node', 'policy_node']
