"""The six launch files under the launch that is installed: what starts, what is said, the end."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import yaml
from diagnostic_msgs.msg import DiagnosticArray
from ros_bench import LEAVE_S, PATIENCE, ROOT, TIMEOUT_S, Bench, until
from sensor_msgs.msg import JointState

from gato_ros.config import to_dict
from gato_ros.nodes import MODULES
from gato_ros.nodes.common import qos
from gato_ros.robot import load_robot

pytest.importorskip('launch_ros', reason='launch and launch_ros are not installed (no wheels '
                    'exist): source ROS 2 from apt')

FILES = {'sim': ('sim', 'safety', 'policy'), 'policy': ('policy',), 'record': ('recorder',),
         'teleop': ('teleop',), 'robot': ('safety', 'policy'), 'arcade': ('world', 'player')}
ARGUMENTS = {'sim': ('scheduling:=ordinary', 'seeds:=[0, 1, 2, 3]'),
             'policy': ('scheduling:=ordinary',), 'record': ('scheduling:=ordinary',),
             'teleop': ('port:=0',), 'robot': ('scheduling:=ordinary', 'cameras:=false'),
             'arcade': ('rate_hz:=1.0',)}
# In the place of drivers that are not installed here: they say what they were told, and wait.
SPAWNER = """#!{python}
import json, signal, sys
print('SPAWNER', json.dumps(sys.argv[1:]), flush=True)
signal.sigwait([signal.SIGINT, signal.SIGTERM])
"""
CAMERA = """#!{python}
import json, rclpy
from sensor_msgs.msg import Image
rclpy.init()
node = rclpy.create_node('v4l2_camera', automatically_declare_parameters_from_overrides=True)
topic = node.create_publisher(Image, 'image_raw', 1).topic_name
print('CAMERA', json.dumps([node.get_name(), topic, node.get_parameter('video_device').value,
                            list(node.get_parameter('image_size').value)]), flush=True)
rclpy.spin(node)
"""


def package(prefix: Path, name: str, programs: dict[str, str]) -> None:
    """Make what colcon installs of a package: its name in the index, and its programs."""
    index = prefix / 'share' / 'ament_index' / 'resource_index' / 'packages'
    index.mkdir(parents=True, exist_ok=True)
    (index / name).touch()
    (prefix / 'lib' / name).mkdir(parents=True)
    for program, text in programs.items():
        file = prefix / 'lib' / name / program
        file.write_text(text)
        file.chmod(0o755)


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a prefix that holds this checkout as a package; ROS's others stay behind it."""
    prefix = tmp_path / 'prefix'
    package(prefix, 'gato_ros', {
        node: f'#!{sys.executable}\nimport sys\nfrom {module} import main\nsys.exit(main())\n'
        for node, module in MODULES.items()})
    (prefix / 'share' / 'gato_ros').mkdir()
    for folder in ('launch', 'config', 'rviz', 'sim'):
        (prefix / 'share' / 'gato_ros' / folder).symlink_to(ROOT / folder)
    others = os.environ.get('AMENT_PREFIX_PATH', '')
    monkeypatch.setenv('AMENT_PREFIX_PATH', f'{prefix}:{others}'.strip(':'))
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join(filter(None, (str(ROOT), *sys.path))))
    return prefix


def start(tmp_path: Path, name: str, *arguments: str) -> subprocess.Popen:
    """Launch a file in a process group of its own, as a terminal does."""
    log = tmp_path / f'{name}.log'
    with log.open('w') as stream:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / 'test' / 'ros' / 'helpers' / 'launching.py'),
             str(ROOT / 'launch' / f'{name}.launch.py'), *arguments],
            stdout=stream, stderr=subprocess.STDOUT, cwd=tmp_path, start_new_session=True)
    process.log = log  # type: ignore[attr-defined]
    return process


def finish(process: subprocess.Popen) -> None:
    """End what a test has left, whatever happened."""
    children = psutil.Process(process.pid).children(recursive=True) if (
        process.poll() is None) else []
    for left in [*children, process]:
        left.kill()
    process.wait(timeout=LEAVE_S)


def describe(name: str):
    path = ROOT / 'launch' / f'{name}.launch.py'
    spec = importlib.util.spec_from_file_location(f'{name}_launch', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.generate_launch_description()


@pytest.mark.parametrize('name', FILES)
def test_every_argument_is_described(name: str) -> None:
    arguments = describe(name).get_launch_arguments()
    assert {'domain' if name == 'arcade' else 'robot', 'namespace'} <= {
        argument.name for argument in arguments}
    assert all(argument.description != 'no description given' for argument in arguments)


def test_no_launch_file_is_left_out() -> None:
    assert {f'{name}.launch.py' for name in FILES} == {
        file.name for file in (ROOT / 'launch').glob('*.launch.py')}


@pytest.mark.slow
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM], ids=['ctrl-c', 'sigterm'])
@pytest.mark.parametrize('name', FILES)
def test_it_starts_its_nodes_and_leaves_none(
        prefix: Path, bench: Bench, tmp_path: Path, name: str, number: signal.Signals) -> None:
    proposals = bench.record(JointState, 'proposed_effort', qos.EVENTS)
    process = start(tmp_path, name, *ARGUMENTS[name])
    try:
        until(lambda: process.poll() is not None or set(FILES[name]) <= set(
            bench.node.get_node_names()), what=f'the nodes of {name}')
        if name == 'sim':  # the policy has loaded
            until(lambda: proposals, timeout_s=120.0 * PATIENCE, what='a proposal')
        assert process.poll() is None, process.log.read_text()
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) == len(FILES[name])
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal's Ctrl-C, which all of them get
        else:
            process.send_signal(number)
        _, left = psutil.wait_procs(children, timeout=LEAVE_S)
        assert not left, process.log.read_text()
        # On SIGTERM launch itself ends at once, by the signal: it has no handler for it.
        assert process.wait(timeout=LEAVE_S) in ((0,) if number == signal.SIGINT else
                                            (0, -signal.SIGTERM)), process.log.read_text()
    finally:
        finish(process)


@pytest.mark.slow
def test_with_the_cockpit_the_policy_acts_through_it(prefix: Path, bench: Bench,
                                                     tmp_path: Path) -> None:
    proposals = bench.record(JointState, 'proposed_effort', qos.EVENTS)
    process = start(tmp_path, 'sim', 'scheduling:=ordinary', 'cockpit:=true', 'caption_s:=1.0')
    try:
        says(process, 'cockpit: http://127.0.0.1:')
        until(lambda: proposals, timeout_s=120.0 * PATIENCE, what='a proposal')
        names = {info.node_name for info in bench.node.get_publishers_info_by_topic(
            '/proposed_effort')}
        assert names == {'teleop'}
    finally:
        finish(process)


def says(process: subprocess.Popen, *sentences: str) -> str:
    def found() -> str:
        words = process.log.read_text()
        return words if all(sentence in words for sentence in sentences) else ''
    return until(found, what=f'{sentences} in {process.log}')


def test_without_drivers_the_gate_stays_up_and_says_what_is_missing(
        prefix: Path, bench: Bench, tmp_path: Path) -> None:
    process = start(tmp_path, 'robot', 'scheduling:=ordinary', 'robot:=fr3')
    try:
        says(process, 'no controller is loaded: the package controller_manager is not installed',
             'no camera is started: the package v4l2_camera is not installed',
             'gripper_controller is not in ')
        until(lambda: {'safety', 'policy'} <= set(bench.node.get_node_names()), what='the gate')
        assert process.poll() is None and 'Traceback' not in process.log.read_text()
    finally:
        finish(process)


def test_two_robots_in_one_graph_have_namespaces(prefix: Path, bench: Bench,
                                                 tmp_path: Path) -> None:
    said = bench.record(DiagnosticArray, '/diagnostics', qos.EVENTS)
    process = start(tmp_path, 'robot', 'scheduling:=ordinary', 'namespace:=left',
                    'cameras:=false')
    try:
        until(lambda: {status.name for _, msg in said for status in msg.status} == {
            'left/safety', 'left/policy'}, what='both nodes')
        found = set(bench.node.get_node_names_and_namespaces())
        assert {('safety', '/left'), ('policy', '/left')} <= found
    finally:
        finish(process)


def told(process: subprocess.Popen, word: str, count: int) -> list[list]:
    """Return what ``count`` stand-ins say that they were told."""
    def found() -> list[list]:
        return [json.loads(line.split(f'{word} ', 1)[1])
                for line in process.log.read_text().split('\n') if f'{word} [' in line]
    return until(lambda: len(found()) == count and found(), what=f'{count} times {word}')


def test_a_robot_by_its_path_gets_its_own_controllers_and_cameras(
        prefix: Path, tmp_path: Path) -> None:
    package(prefix, 'controller_manager', {'spawner': SPAWNER.format(python=sys.executable)})
    package(prefix, 'v4l2_camera', {'v4l2_camera_node': CAMERA.format(python=sys.executable)})
    robot = to_dict(load_robot('ur5e'))
    robot |= {'name': 'my_arm', 'cameras': [
        {'name': 'left', 'topic': 'eyes/left/image_raw', 'height': 96, 'width': 128},
        {'name': 'right', 'topic': 'eyes/right/image', 'height': 64, 'width': 64},
        {'name': 'hand', 'topic': 'hand/image_raw', 'height': 64, 'width': 64}]}
    (tmp_path / 'my_arm.yaml').write_text(yaml.safe_dump(robot))
    file = ROOT / 'config' / 'controllers' / 'ur5e.yaml'
    process = start(tmp_path, 'robot', 'scheduling:=ordinary', 'robot:=my_arm.yaml',
                    f'controllers:={file}', 'devices:=right=/dev/video7')
    try:
        spawner, = told(process, 'SPAWNER', 1)
        assert spawner[:4] == ['forward_velocity_controller', '--inactive', '--param-file',
                               str(file)]
        assert sorted(told(process, 'CAMERA', 3)) == [
            ['hand_camera', '/hand/image_raw', '/dev/video4', [64, 64]],
            ['left_camera', '/eyes/left/image_raw', '/dev/video0', [128, 96]],
            ['right_camera', '/eyes/right/image', '/dev/video7', [64, 64]]]
    finally:
        finish(process)


@pytest.mark.parametrize(('arguments', 'sentence'), [
    (('robot:=nobody',), 'config/robots/nobody.yaml was found in none of'),
    (('robot:=fr3', 'view:=rviz'), 'RViz is not started: the package rviz2 is not installed'),
    (('robot:=fr3', 'controllers:=none.yaml'), 'no controller is loaded: none.yaml'),
    (('robot:=fr3', 'devices:=side=/dev/video1'),
     'no camera is started: devices names side, expected NAME=DEVICE of front, wrist')])
def test_what_cannot_start_is_one_sentence(prefix: Path, tmp_path: Path,
                                           arguments: tuple[str, ...], sentence: str) -> None:
    process = start(tmp_path, 'robot', 'scheduling:=ordinary', *arguments)
    try:
        assert 'Traceback' not in says(process, sentence)
        if 'robot:=nobody' in arguments:
            assert process.wait(timeout=TIMEOUT_S) == 0
    finally:
        finish(process)
