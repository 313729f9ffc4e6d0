"""config/controllers: what ros2_control's spawner and controllers read there, by their rules.

The rules are those of ros2_control and ros2_controllers, branches jazzy, kilted and master, August
2026. The real controller manager is not at hand here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gato_ros.config import data_path, read_yaml
from gato_ros.robot import load_robot

FILES = sorted(data_path('config', 'controllers').glob('*.yaml'))
# Type -> the parameters that it refuses to be without; it declares no others of its own.
TYPES = {'forward_command_controller/ForwardCommandController': {'joints', 'interface_name'}}


def spawned(parameters: dict[str, Any], controller: str, namespace: str) -> dict[str, Any] | None:
    """Return the parameters that the spawner finds for a controller; None: it has no type."""
    full = f'/{controller}' if namespace == '/' else f'{namespace}/{controller}'
    for key in (controller, full, f'/**/{controller}', f'/**{full}'):
        if key in parameters:
            if key == controller and namespace != '/':
                return None  # "Missing namespace or wildcard in parameter file"
            found = parameters[key]['ros__parameters']
            if 'type' in found:
                return found
    return None


def test_the_rules_refuse_what_ros2_control_refuses() -> None:
    manager = {'controller_manager': {'ros__parameters': {'c': {'type': 't'}}},
               'c': {'ros__parameters': {'joints': ['a']}}}
    assert spawned(manager, 'c', '/') is None, 'type in the section of the controller manager'
    plain = {'c': {'ros__parameters': {'type': 't'}}}
    assert spawned(plain, 'c', '/') == {'type': 't'} and spawned(plain, 'c', '/left') is None


@pytest.mark.parametrize('file', FILES, ids=lambda file: file.stem)
@pytest.mark.parametrize('namespace', ['/', '/left'])
def test_the_spawner_finds_a_type_and_all_that_it_needs(file: Path, namespace: str) -> None:
    robot, parameters = load_robot(file.stem), read_yaml(file)
    names = [key.rpartition('/')[2] for key in parameters]
    assert names and set(names) <= set(robot.controllers)
    for name in names:
        found = spawned(parameters, name, namespace)
        assert found is not None and found.keys() - {'type'} == TYPES[found['type']]
        assert found['joints'] == [j.name for j in robot.joints if j.controller == name]
        assert found['interface_name'] == robot.interface
        assert robot.controllers[name] == f'{name}/commands', 'where the controller listens'


def test_every_robot_but_the_simulated_has_controllers() -> None:
    robots = {file.stem for file in data_path('config', 'robots').glob('*.yaml')}
    assert {file.stem for file in FILES} == {one for one in robots if not one.endswith('_sim')}
