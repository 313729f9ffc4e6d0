"""The shipped bodies, and robots of other kinds: each is good throughout, or one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from gato_ros.config import ConfigError
from gato_ros.kinematics import Chain
from gato_ros.robot import RobotSpec, load_robot
from gato_ros.safety.guard import Guard, GuardSettings
from gato_ros.tokens.sequence import TimestepTokenizer

BODIES = ('franka_panda', 'fr3', 'ur5e_robotiq', 'iiwa14', 'gen3')


def slots(robot: RobotSpec) -> int:
    """Return the tokens of a timestep; the gate, which checks its settings, has been built."""
    tokens = TimestepTokenizer(robot.timestep())
    seen = tokens.observe(robot.example_observation())
    assert 0 < len(seen) < len(tokens.layout()) and Guard(robot, GuardSettings()).state
    return len(tokens.layout())


@pytest.mark.parametrize('name', [*BODIES, 'ur5e'])
def test_a_shipped_body_has_a_timestep_and_passes_the_gate(name: str) -> None:
    robot = load_robot(name)
    slots(robot)
    assert robot.workspace is not None and robot.kinematics


@pytest.mark.parametrize(('name', 'height'), [('iiwa14', 0.36 + 0.42 + 0.4 + 0.126),
                                              ('gen3', 1.1874)])
def test_an_arm_stretched_upwards_is_as_high_as_its_maker_says(name: str, height: float) -> None:
    robot = load_robot(name)
    pose = Chain(robot).pose(np.zeros(len(robot.joints)))
    assert pose.position[2] == pytest.approx(height, abs=1e-4)
    assert abs(pose.position[0]) < 1e-4 and pose.rotation[2, 2] == pytest.approx(1.0)


def joints(controller: str, *names: str, **changes: Any) -> list[dict[str, Any]]:
    return [{'name': name, 'kind': 'revolute', 'controller': controller, 'position': [-2.9, 2.9],
             'velocity': 2.0, 'effort': 50.0, 'scale': 10.0, 'slew': 200.0, 'damping': 5.0}
            | changes for name in names]


def cameras(height: int, width: int, *names: str) -> list[dict[str, Any]]:
    return [{'name': name, 'topic': f'camera/{name}/image_raw', 'height': height, 'width': width}
            for name in names]


SIX = [f'j{number}' for number in range(1, 7)]
WHEELS = ('wheel_left', 'wheel_right')
FINGER = {'kind': 'prismatic', 'position': [0.0, 0.04]}
TWO = [joint for side in ('left', 'right') for joint in (
    *joints(f'{side}_arm', *(f'{side}_j{number}' for number in range(1, 8))),
    *joints(f'{side}_gripper', f'{side}_finger', **FINGER))]
SPEEDS = {'scale': 0.5, 'slew': 2.0, 'damping': 0.0, 'margin': 0.1}
GRIP = joints('gripper', 'gripper', kind='prismatic', position=[0, 0.085], velocity=0.1,
              scale=0.1, slew=1.0, damping=0.0)
# Name -> joints, cameras, what else is in the file, and the tokens of its timestep.
GOOD: dict[str, tuple[Any, Any, dict[str, Any], int]] = {
    'mobile': ([*joints('base', *WHEELS), *joints('arm', *SIX)],
               cameras(64, 64, 'front', 'wrist'), {}, 57),
    'nocam': (joints('arm', *SIX), None, {}, 19),
    'six_96': (joints('arm', *SIX), cameras(96, 96, 'front', 'left', 'wrist'), {}, 127),
    'six_224': (joints('arm', *SIX), cameras(224, 224, 'front', 'wrist'), {}, 411),
    'six_vga3_64': (joints('arm', *SIX), cameras(64, 64, 'front', 'left', 'wrist'), {}, 67),
    'two_arm': (TWO, cameras(64, 64, 'head', 'left', 'right'), {}, 97),
    'ur5e_grip': ([*joints('arm', *SIX, **SPEEDS), *GRIP], cameras(64, 64, 'front', 'wrist'),
                  {'interface': 'velocity'}, 54),
    'ur5e_pos': (joints('arm', *SIX, **SPEEDS), cameras(64, 64, 'front', 'wrist'),
                 {'interface': 'position'}, 51)}
BAD: dict[str, tuple[Any, Any, dict[str, Any], str]] = {
    'iiwa14': (joints('arm', *SIX, effort=320.0, damping=10.0), cameras(64, 64, 'front'),
               {'damped_by': 'gate'}, "joint 'j1': damping 10 by the gate is not stable"),
    'mobile_cont': (joints('base', *WHEELS, kind='continuous'), [], {},
                    r'joints\[0\]: kind: expected one of revolute, prismatic, found .continuous'),
    'six_180': (joints('arm', *SIX), cameras(180, 320, 'front'), {},
                "image 'front' is 180x320, expected multiples of 16"),
    'six_vga3': (joints('arm', *SIX), cameras(480, 640, 'front', 'left', 'wrist'), {},
                 'a timestep has 3612 observation tokens, expected at most 512')}


def read(tmp_path: Path, moving: Any, seen: Any, others: dict[str, Any]) -> RobotSpec:
    file = tmp_path / 'robot.yaml'
    names = dict.fromkeys(joint['controller'] for joint in moving)
    file.write_text(yaml.safe_dump({
        'name': 'robot', 'rate_hz': 20.0, 'interface': 'effort', 'joints': moving,
        'cameras': seen, 'controllers': {name: f'{name}/commands' for name in names}, **others}))
    return load_robot(file)


@pytest.mark.parametrize('name', GOOD)
def test_a_robot_of_another_kind_is_taken(tmp_path: Path, name: str) -> None:
    *content, size = GOOD[name]
    assert slots(read(tmp_path, *content)) == size


@pytest.mark.parametrize('name', BAD)
def test_a_robot_that_cannot_be_is_one_sentence(tmp_path: Path, name: str) -> None:
    *content, says = BAD[name]
    with pytest.raises(ConfigError, match=says) as refusal:
        slots(read(tmp_path, *content))
    assert '\n' not in str(refusal.value)
