"""A robot's YAML file from a URDF or an MJCF: the same arm, or one sentence that says why not."""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np
import pytest
from typer.testing import CliRunner

from gato_ros.config import ConfigError, data_path
from gato_ros.descriptions.arm import DescriptionError
from gato_ros.descriptions.mjcf import read_mjcf
from gato_ros.descriptions.urdf import read_urdf
from gato_ros.descriptions.writer import Choice, robot_yaml
from gato_ros.kinematics import Chain
from gato_ros.robot import RobotSpec, load_robot
from gato_ros.safety.guard import Guard, GuardSettings
from gato_ros.tools.cli import app

LINK = ('<link name="{}"><inertial><mass value="1"/><inertia ixx="1" iyy="1" izz="1" ixy="0" '
        'ixz="0" iyz="0"/></inertial></link>')
LIMIT = '<limit lower="-2.5" upper="2.0" velocity="1.5" effort="60"/>'


def joint(name: str, parent: str, child: str, inside: str = LIMIT, kind: str = 'revolute',
          xyz: str = '0.1 0.2 0.3', rpy: str = '0.3 -0.7 1.1', axis: str = '0 0 1') -> str:
    return (f'<joint name="{name}" type="{kind}"><parent link="{parent}"/><child link="{child}"/>'
            f'<origin xyz="{xyz}" rpy="{rpy}"/><axis xyz="{axis}"/>{inside}</joint>')


def urdf(*joints: str, links: str = 'base l1 l2 tool finger') -> str:
    return (f'<robot name="My_Arm">{"".join(LINK.format(name) for name in links.split())}'
            f'{"".join(joints)}</robot>')


ARM = (joint('j1', 'base', 'l1'), joint('j2', 'l1', 'l2', axis='0 -2 0'),
       joint('flange', 'l2', 'tool', '', 'fixed'),
       joint('grip', 'tool', 'finger',
             '<limit lower="0" upper="0.04" velocity="0.2" effort="40"/>', 'prismatic'))

MJCF = """
<mujoco model="odd arm">
  <compiler angle="degree"/>
  <default><joint armature="0.2"/><motor forcerange="-9 9"/>
    <default class="big"><joint range="-120 90" axis="0 1 0"/>
      <general forcerange="-80 80"/></default></default>
  <worldbody><body name="base" pos="0 0 0.1" euler="10 20 30" childclass="big">
    <geom size="0.01"/>
    <body name="upper" pos="0.1 0 0.2" quat="0.5 0.1 -0.3 0.7"><geom size="0.01"/>
      <joint name="a" pos="0.02 0.01 0.03"/>
      <joint name="b" axis="1 1 -1" pos="0 -0.04 0"/>
      <body name="lower" pos="0 0.3 0"><geom size="0.01"/>
        <joint name="c" axis="0 0 -1" range="-30 30"/>
        <body name="tip" pos="0 0 0.15" euler="0 90 0"><geom size="0.01"/></body>
        <body name="finger"><geom size="0.01"/>
          <joint name="slide" type="slide" range="0 0.05" armature="0.01"/></body>
      </body></body></body></worldbody>
  <actuator><general class="big" joint="a"/><general class="big" joint="b"/>
    <motor joint="c"/><motor joint="slide"/></actuator>
</mujoco>
"""


def written(tmp_path: Path, text: str, choice: Choice, without: tuple[str, ...] = ()) -> RobotSpec:
    """Return the robot that the YAML file of a description holds."""
    file = tmp_path / 'arm.xml'
    file.write_text(text)
    reader = read_mjcf if text.lstrip().startswith('<mujoco') else read_urdf
    made = tmp_path / 'made.yaml'
    made.write_text(robot_yaml(reader(file, without), choice, file.name))
    return load_robot(made)


def assert_same_places(robot: RobotSpec, model: mujoco.MjModel, body: str) -> None:
    """Compare the chain with MuJoCo's own kinematics at random positions."""
    chain, data, rng = Chain(robot), mujoco.MjData(model), np.random.default_rng(0)
    for _ in range(5):
        positions = np.array([rng.uniform(*j.position) for j in robot.joints])
        for name, value in zip(robot.joint_names, positions, strict=True):
            data.joint(name).qpos[0] = value
        mujoco.mj_kinematics(model, data)
        pose = chain.pose(positions)
        np.testing.assert_allclose(pose.position, data.body(body).xpos, atol=1e-7)
        np.testing.assert_allclose(pose.rotation.ravel(), data.body(body).xmat, atol=1e-7)


@pytest.mark.parametrize('interface', ['effort', 'velocity', 'position'])
def test_a_urdf_becomes_the_same_arm(tmp_path: Path, interface: str) -> None:
    robot = written(tmp_path, urdf(*ARM), Choice(interface))  # type: ignore[arg-type]
    assert robot.name == 'my_arm' and robot.joint_names == ('j1', 'j2', 'grip')
    first, grip = robot.joints[0], robot.joints[2]
    assert (first.position, first.velocity, first.effort) == ((-2.5, 2.0), 1.5, 60.0)
    assert first.scale == {'effort': 6.0}.get(interface, 0.375) and first.margin == 0.1
    assert grip.kind == 'prismatic' and grip.controller != first.controller
    assert Guard(robot, GuardSettings()).problem(0.0), 'it waits for its inputs, and is built'
    assert_same_places(robot, mujoco.MjModel.from_xml_string(
        urdf(*ARM).replace('<link', '<mujoco><compiler fusestatic="false"/></mujoco><link', 1)),
        'l2')


def test_a_tool_that_is_named_ends_the_chain(tmp_path: Path) -> None:
    ends = [written(tmp_path, urdf(*ARM), Choice('velocity', tool=tool)).kinematics
            for tool in ('', 'tool')]
    assert len(ends[1]) >= len(ends[0]) and ends[0] != ends[1]
    with pytest.raises(DescriptionError, match=r"joint 'grip' on the way to 'finger' slides"):
        written(tmp_path, urdf(*ARM), Choice('velocity', tool='finger'))
    with pytest.raises(DescriptionError, match=r"no link 'hand' .* known: l1, l2, tool"):
        written(tmp_path, urdf(*ARM), Choice('velocity', tool='hand'))


def test_an_mjcf_becomes_the_same_arm(tmp_path: Path) -> None:
    robot = written(tmp_path, MJCF, Choice('effort', velocity=2.0))
    assert robot.name == 'odd_arm' and robot.joint_names == ('a', 'b', 'c', 'slide')
    a, _, c, slide = robot.joints
    assert a.position == pytest.approx((-2.094395, 1.570796), abs=1e-6) and a.effort == 80
    assert c.effort == 9 and c.inertia == 0.2 and c.position[1] == pytest.approx(0.523599)
    assert slide.position == (0.0, 0.05) and slide.inertia == 0.01 and slide.velocity == 2.0
    assert_same_places(robot, mujoco.MjModel.from_xml_string(MJCF), 'lower')
    assert_same_places(written(tmp_path, MJCF, Choice('effort', velocity=2.0, tool='tip')),
                       mujoco.MjModel.from_xml_string(MJCF), 'tip')


def test_two_arms_are_written_without_a_chain(tmp_path: Path) -> None:
    text = urdf(*ARM[:2], joint('k1', 'base', 'r1'), links='base l1 l2 r1')
    robot = written(tmp_path, text, Choice('velocity'))
    assert robot.joint_names == ('j1', 'j2', 'k1') and not robot.kinematics
    assert '--tool LINK' in (tmp_path / 'made.yaml').read_text()
    one = written(tmp_path, text, Choice('velocity', tool='l2'))
    assert [link.joint for link in one.kinematics if link.joint] == ['j1', 'j2']


FREE = joint('j1', 'base', 'l1', '<limit velocity="1" effort="5"/>', 'continuous')
MIMIC = joint('j2', 'l1', 'l2', f'{LIMIT}<mimic joint="j1"/>')


def test_what_a_file_does_not_say_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(DescriptionError, match=r"'j1' has no limit of position \(it .*--pos"):
        written(tmp_path, urdf(FREE), Choice('velocity'))
    robot = written(tmp_path, urdf(FREE, MIMIC), Choice('velocity', position=3.1), ('j2',))
    assert robot.joints[0].position == (-3.1, 3.1) and robot.joint_names == ('j1',)
    with pytest.raises(DescriptionError, match=r"'a' has no limit of velocity, .*--velocity"):
        written(tmp_path, MJCF, Choice('effort'))


@pytest.mark.parametrize(('text', 'says'), [
    (urdf(joint('j1', 'base', 'l1', '')), r"'j1' has no limit of position"),
    (urdf(joint('j1', 'base', 'l1', '<limit lower="0" upper="1"/>')), 'no limit of velocity'),
    (urdf(joint('j1', 'base', 'l1', LIMIT.replace('2.0', '-3'))), 'must be finite and rising'),
    (urdf(joint('j1', 'base', 'l1', LIMIT.replace('60', 'nan'))), "effort of joint 'j1'.*finite"),
    (urdf(joint('j1', 'base', 'l1', axis='0 0 0')), "'j1' has the axis 0 0 0"),
    (urdf(joint('j1', 'base', 'l1', xyz='1 2')), "xyz of the origin of joint 'j1' is '1 2'"),
    (urdf(joint('j1', 'base', 'l1'), MIMIC), r"'j2' mimics 'j1'.*--without j2"),
    (urdf(joint('j1', 'base', 'l1', kind='floating')), "of type 'floating'.* fixed base"),
    (urdf(joint('j1', 'base', 'l1'), joint('j1', 'l1', 'l2')), 'joint names repeat'),
    (urdf(joint('j1', 'l2', 'l1'), joint('j2', 'l1', 'l2')), 'hangs on itself'),
    (urdf(joint('j1', 'base', 'l1'), joint('j2', 'l2', 'l1')), 'hangs on two joints'),
    (urdf(joint('a: b', 'base', 'l1')), "a joint is called 'a: b'"),
    (urdf(), 'has 0 joints that move'),
    ('<robot name="x" xmlns:xacro="y"><xacro:arm/></robot>', 'holds xacro macros'),
    ('<sdf/>', 'begins with <sdf>, expected <robot>'), ('<robot', r'no XML: .* in line 1'),
    ('<!DOCTYPE a [<!ENTITY b "c">]><robot name="&b;"/>', 'has a document type'),
    ('<robot>' + '<a>' * 200 + '</a>' * 200 + '</robot>', 'nested deeper than 100'),
    ('<robot>' + '<a/>' * 100_001 + '</robot>', 'more than 100000 values'),
    ('<robot>' + ' ' * (1 << 20) + '</robot>', 'longer than 1048576 bytes'),
    (MJCF.replace('<motor joint="c"/>', ''), r"'c' has no actuator of its own.*--without c"),
    (MJCF.replace('type="slide"', 'type="ball"'), "'slide' is of type 'ball'"),
    (MJCF.replace('<joint name="a"', '<freejoint/><joint name="a"'), "'upper' floats"),
    (MJCF.replace('<worldbody>', '<include file="/etc/passwd"/><worldbody>'), 'includes another'),
    (MJCF.replace('class="big" joint="a"', 'class="huge" joint="a"'), "class 'huge' is nowhere"),
    (MJCF.replace('name="lower"', 'name="upper"'), "two bodies are called 'upper'"),
    (MJCF.replace('euler="0 90 0"', 'axisangle="0 1 0 90"'), 'turned by axisangle')])
def test_what_cannot_be_a_robot_is_one_sentence(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as refusal:
        written(tmp_path, text, Choice('effort', velocity=None if 'robot' in text else 2.0))
    assert '\n' not in str(refusal.value) and len(str(refusal.value)) <= 800


def test_a_world_with_loose_blocks_is_no_arm() -> None:
    with pytest.raises(DescriptionError, match='floats'):
        read_mjcf(data_path('sim', 'stacking.xml'), ('panda_finger_joint2',))


def test_the_command_writes_a_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path('arm.urdf').write_text(urdf(*ARM))
    give = ['robot', 'from-urdf', 'arm.urdf', '--interface', 'velocity']
    said = CliRunner().invoke(app, give)
    assert said.exit_code == 0 and 'my_arm.yaml: 3 joints' in said.output
    assert load_robot('my_arm.yaml').timestep().action_size == 3
    again = CliRunner().invoke(app, give)
    assert isinstance(again.exception, FileExistsError) and again.exception.filename
