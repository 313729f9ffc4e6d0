"""A configuration is right, or refused in one sentence that says what, where and what instead."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml

import gato_ros.config
from gato_ros.config import ConfigError, data_path, from_dict, read_yaml, to_dict
from gato_ros.robot import RobotSpec, load_robot
from gato_ros.spec import TimestepSpec


@dataclass(frozen=True)
class Inner:
    size: int
    ratio: float = 0.5


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner
    limits: tuple[float, float]
    mode: Literal['effort', 'velocity'] = 'effort'
    many: tuple[Inner, ...] = ()
    topics: dict[str, str] = field(default_factory=dict)
    optional: int | None = None
    on: bool = True


GOOD = {'name': 'arm', 'inner': {'size': 3}, 'limits': [0, 1.5]}


def changed(**changes: Any) -> dict[str, Any]:
    return {**GOOD, **changes}


def robot(**changes: Any) -> dict[str, Any]:
    """Return the simulated arm's file with its first joint changed."""
    data = read_yaml(data_path('config', 'robots', 'panda_sim.yaml'))
    data['joints'][0].update(changes)
    return data


def test_types_are_kept_and_numbers_become_floats() -> None:
    made = from_dict(Outer, changed(many=[{'size': 1}, {'size': 2, 'ratio': 1}],
                                    topics={'a': 'b'}, optional=None, on=False), 'here')
    assert made == Outer('arm', Inner(3), (0.0, 1.5), many=(Inner(1), Inner(2, 1.0)),
                         topics={'a': 'b'}, on=False)
    assert type(made.limits[0]) is float and type(made.many[1].ratio) is float


def test_a_power_of_ten_without_a_point_is_a_number() -> None:
    made = from_dict(Inner, yaml.safe_load('{size: 1, ratio: 6e-4}'), 'here')
    assert made.ratio == 0.0006


@pytest.mark.parametrize(('data', 'says'), [
    (changed(speed=1), ['here', "unknown key 'speed'", 'name, inner, limits']),
    (changed(inner={'size': 3, 'sise': 4}), ['here: inner', "unknown key 'sise'", 'size, ratio']),
    ({'name': 'arm', 'limits': [0, 1]}, ['here', "'inner'", 'missing']),
    (changed(inner={}), ['here: inner', "'size'", 'missing']),
    (changed(name=7), ['here: name', 'expected str', '7']),
    (changed(inner={'size': 3.5}), ['here: inner: size', 'expected int', '3.5']),
    (changed(inner={'size': True}), ['here: inner: size', 'expected int', 'True']),
    (changed(inner={'size': 3, 'ratio': 'half'}), ['inner: ratio', 'expected float', "'half'"]),
    (changed(inner={'size': 3, 'ratio': None}), ['inner: ratio', 'expected float', 'None']),
    (changed(inner=[3]), ['here: inner', 'expected a mapping', '[3]']),
    (changed(limits=[0, 1, 2]), ['here: limits', 'expected 2 values', '[0, 1, 2]']),
    (changed(limits=3), ['here: limits', 'expected a list', '3']),
    (changed(limits=[0, 'x']), ['here: limits[1]', 'expected float', "'x'"]),
    (changed(many=[{'size': 1}, {'size': 'x'}]), ['here: many[1]: size', 'expected int', "'x'"]),
    (changed(mode='torque'), ['here: mode', 'effort, velocity', "'torque'"]),
    (changed(topics=['a']), ['here: topics', 'expected a mapping', "['a']"]),
    (changed(topics={'a': 1}), ['here: topics.a', 'expected str', '1']),
    (changed(optional='x'), ['here: optional', 'expected int', "'x'"]),
    (changed(on=1), ['here: on', 'expected bool', '1']),
    ('text', ['here', 'expected a mapping for Outer', "'text'"]),
    (None, ['here', 'expected a mapping for Outer', 'None'])])
def test_refusal_names_value_expectation_and_place(data: Any, says: list[str]) -> None:
    with pytest.raises(ConfigError) as refusal:
        from_dict(Outer, data, 'here')
    for part in says:
        assert part in str(refusal.value)
    assert '\n' not in str(refusal.value)


@pytest.mark.parametrize(('changes', 'says'), [
    ({'velocity': float('nan')}, ['joints[0]: velocity', 'a finite number', 'nan']),
    ({'effort': float('inf')}, ['joints[0]: effort', 'a finite number', 'inf']),
    ({'slew': 0}, ['panda_joint1', 'slew', '0', '> 0']),
    ({'scale': -1}, ['panda_joint1', 'scale', '-1', '> 0']),
    ({'scale': 90}, ['panda_joint1', 'scale', '90', '87']),
    ({'controller': 'nobody'}, ['panda_joint1', "'nobody'", 'effort_controller']),
    ({'name': 'panda_joint2'}, ['panda_sim', 'repeat', 'panda_joint2'])])
def test_robot_refuses_limits_that_would_not_limit(changes: dict[str, Any],
                                                   says: list[str]) -> None:
    with pytest.raises(ConfigError) as refusal:
        from_dict(RobotSpec, robot(**changes), 'arm.yaml').timestep()
    for part in says:
        assert part in str(refusal.value)


@pytest.mark.parametrize('position', [[float('nan'), 1.0], [0.0, float('nan')],
                                      [float('-inf'), 1.0], [1.0, 1.0], [2.0, 1.0]])
def test_robot_refuses_position_limits_that_are_no_interval(position: list[float]) -> None:
    with pytest.raises(ConfigError, match=r'position.*finite number|panda_joint1.*rising'):
        from_dict(RobotSpec, robot(position=position), 'arm.yaml').timestep()


def test_every_shipped_robot_is_read() -> None:
    files = sorted(data_path('config', 'robots').glob('*.yaml'))
    assert files
    for file in files:
        spec = load_robot(file)
        assert spec == load_robot(file.stem) and spec.joints and spec.timestep().action_size > 0


def test_a_specification_survives_json_and_back() -> None:
    spec = load_robot('panda_sim').timestep()
    again = from_dict(TimestepSpec, to_dict(spec), 'config.json')
    assert again == spec and again.hash == spec.hash
    other = dataclasses.replace(spec, images=spec.images[:1])
    assert other.hash != spec.hash


@pytest.mark.parametrize(('content', 'says'), [
    ('a: [1, 2', 'not valid YAML'), ('- 1\n- 2\n', 'found list'), ('', 'found NoneType')])
def test_yaml_that_is_no_mapping_is_refused(tmp_path: Path, content: str, says: str) -> None:
    file = tmp_path / 'arm.yaml'
    file.write_text(content)
    with pytest.raises(ConfigError) as refusal:
        read_yaml(file)
    assert str(file) in str(refusal.value) and says in str(refusal.value)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'no\.yaml cannot be read: No such file'):
        read_yaml(tmp_path / 'no.yaml')
    with pytest.raises(ConfigError, match=r'config/robots/nobody\.yaml was found in none of'):
        load_robot('nobody')


@pytest.mark.parametrize('package', ['lib/python3.12/site-packages/gato_ros', 'gato_ros'])
def test_data_is_found_below_the_prefix_of_an_installation(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    wanted = tmp_path / 'share' / 'gato_ros' / 'sim' / 'world.xml'
    wanted.parent.mkdir(parents=True)
    wanted.touch()
    monkeypatch.setattr(gato_ros.config, '__file__', str(tmp_path / package / 'config.py'))
    monkeypatch.delenv('AMENT_PREFIX_PATH', raising=False)
    assert data_path('sim', 'world.xml') == wanted


def test_data_is_found_in_a_prefix_of_ros(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = tmp_path / 'second' / 'share' / 'gato_ros' / 'sim' / 'only_here.xml'
    wanted.parent.mkdir(parents=True)
    wanted.touch()
    monkeypatch.setenv('AMENT_PREFIX_PATH', f'{tmp_path / "first"}:{tmp_path / "second"}')
    assert data_path('sim', 'only_here.xml') == wanted


def test_the_real_panda_takes_the_checkpoints_of_the_simulated_one() -> None:
    hashes = {load_robot(name).timestep().hash for name in ('franka_panda', 'panda_sim')}
    assert hashes == {'b1e53fdf2725'}  # data and checkpoints carry it


@pytest.mark.parametrize(('interface', 'field', 'unit'), [
    ('velocity', 'commanded_velocities', 'rad/s'), ('position', 'commanded_positions', 'rad')])
def test_the_interface_decides_field_and_unit_of_an_action(interface: str, field: str,
                                                           unit: str) -> None:
    robot = dataclasses.replace(load_robot('ur5e'), interface=interface)
    action = robot.timestep().actions[0]
    assert action.name == field == robot.command_field and action.units[0] == unit
    high = robot.joints[1].scale if interface == 'velocity' else robot.joints[1].position[1]
    assert action.high[1] == high
