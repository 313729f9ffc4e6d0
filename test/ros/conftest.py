"""Real ROS over real DDS, in a domain of its own: a free one for every test module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='ROS 2 (rclpy) is not installed')

import rclpy
from plant import Plant
from ros_bench import ROOT, Bench, Processes

from gato_ros.nodes.teleoperation.cockpit import Cockpit
from gato_ros.nodes.teleoperation.teleop_node import TeleopNode
from gato_ros.tools.graph.children import free_domain


@pytest.fixture(autouse=True, scope='module')
def _domain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('ROS_DOMAIN_ID', str(free_domain()))
        patch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
        patch.setenv('ROS_LOG_DIR', str(tmp_path_factory.mktemp('log')))
        patch.setenv('OMP_NUM_THREADS', '1')
        patch.setenv('PYTHONPATH', str(ROOT))
        yield


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Start rclpy; an indirect parameter holds ROS parameters of the nodes of this process."""
    args = ['--ros-args']
    for name, value in {'autostart': True, **getattr(request, 'param', {})}.items():
        args += ['-p', f'{name}:={value}']
    rclpy.init(args=args)
    bench = Bench()
    yield bench
    bench.close()


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    children = Processes(tmp_path)
    yield children
    children.close()


@pytest.fixture
def node(bench: Bench) -> TeleopNode:
    """The teleop node in this process."""
    node = TeleopNode()
    bench.add(node)
    return node


@pytest.fixture
def cockpit(node: TeleopNode) -> Iterator[Cockpit]:
    served = Cockpit(node, port=0)
    yield served
    served.close()


@pytest.fixture
def plant(bench: Bench, processes: Processes) -> Iterator[Plant]:
    """A robot, its gate and a policy that waves, moving; at the end no limit was broken."""
    plant = Plant(bench, processes)
    plant.recover()
    yield plant
    plant.within_limits()


@pytest.fixture(scope='session')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an untrained checkpoint for panda_sim."""
    from gato_ros.model.architecture import load_architecture
    from gato_ros.model.gato import Gato
    from gato_ros.policy.checkpoint import CheckpointConfig, DomainConfig, save_checkpoint
    from gato_ros.robot import load_robot

    folder = tmp_path_factory.mktemp('checkpoint')
    architecture = load_architecture('tiny')
    save_checkpoint(folder, CheckpointConfig(
        architecture, {'stacking': DomainConfig(load_robot('panda_sim').timestep())}),
        Gato(architecture).state_dict())
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.ros)
    # A process that has once asked a discovery server finds nobody any other way afterwards.
    items.sort(key=lambda item: item.path.name == 'test_middleware.py')
