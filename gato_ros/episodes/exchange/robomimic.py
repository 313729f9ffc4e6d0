"""robomimic's HDF5, in: every demonstration of a file as one of our recordings.

    import_robomimic(Path('low_dim.hdf5'), Path('demos'), load_robot('my_panda.yaml'), 'lift it')

The features of the robot's YAML file say where things are in a demonstration's group, such as
``obs/robot0_joint_pos`` or ``actions``. Actions must be what the robot takes, such as joint
torques: a dataset whose actions are steps of the tool is another robot's, and says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gato_ros.episodes.exchange.hdf5 import Hdf5
from gato_ros.episodes.exchange.recording import Made, Step, import_recording
from gato_ros.episodes.recordings.mcap_file import BagError
from gato_ros.episodes.recordings.topics import features
from gato_ros.robot import RobotSpec
from gato_ros.untrusted import Refused, brief, digest, parse_json

# What robosuite calls a controller whose commands are a robot's, by its interface.
CONTROLLERS = {'effort': 'JOINT_TORQUE', 'velocity': 'JOINT_VELOCITY',
               'position': 'JOINT_POSITION'}
COMPOSED = ('BASIC', 'HYBRID_MOBILE_BASE', 'GRIP')  # they hold others, or move no joint of an arm
DEMO = re.compile(r'[\w.-]{1,100}')


def import_robomimic(file: Path, out: Path, robot: RobotSpec, sentence: str, outcome: str = '',
                     tell: Callable[[str], None] = lambda words: None) -> Iterator[Made]:
    """Write each demonstration as a recording into ``out``, and yield what was made.

    sentence  what the file's demonstrations show
    outcome   success or failure; '': as the rewards say, where they are 0 and 1
    tell      is given what a person must know, such as that rewards are no verdict

    The same call again goes on where it ended: a recording from the same data is kept.
    Raises BagError for a file that cannot be read or is not this robot's.
    """
    with Hdf5(file) as data:
        remark = _check_arguments(file, data.attribute('data', 'env_args'), robot)
        if remark:
            tell(remark)
        content = digest(file)
        for name in sorted(data.names('data'), key=lambda name: (len(name), name)):
            if not DEMO.fullmatch(name):
                raise BagError(f'{file} has a demonstration {brief(name)}, expected a name such '
                               'as demo_0')
            found = _fields(data, f'data/{name}', robot)
            said = outcome or _verdict(file, data, f'data/{name}', len(next(iter(found.values()))),
                                       tell)
            about = {'sentence': sentence, 'source': 'teleoperation', 'outcome': said,
                     'note': '; '.join(filter(None, (f'from robomimic {file.name}, {name}',
                                                     remark)))}
            yield import_recording(out / f'{file.stem}-{name}.mcap', robot,
                                   _steps(data, found, robot), about, f'{content} {name}')


def _check_arguments(file: Path, text: Any, robot: RobotSpec) -> str:
    """Refuse another rate, and actions of another kind; return what must be said aloud."""
    try:
        arguments = parse_json(text)
        settings = arguments['env_kwargs']
        found = settings['control_freq']
        if isinstance(found, bool) or not isinstance(found, (int, float)):
            raise TypeError(brief(found))
        configured = settings.get('controller_configs')
    except (Refused, LookupError, TypeError, AttributeError) as error:
        raise BagError(f'{file} does not say its control_freq in env_args, expected '
                       f'{robot.rate_hz:g} there') from error
    if found != robot.rate_hz:
        raise BagError(f'{file} has control_freq {brief(found)}, expected {robot.rate_hz:g} '
                       f'(rate_hz in the YAML file of robot {robot.name!r})')
    wanted, controllers = CONTROLLERS[robot.interface], list(_controllers(configured))
    for controller in controllers:
        if controller['type'] != wanted:
            raise BagError(f'{file} has actions of a {brief(controller["type"])} controller, '
                           f'expected {wanted}: joint commands, as interface {robot.interface} of '
                           f'robot {robot.name!r} takes them')
        if controller.get('output_max') != controller.get('input_max') or (
                wanted == 'JOINT_POSITION' and controller.get('input_type') != 'absolute'):
            ends = [controller.get(key) for key in ('input_max', 'output_max')]
            raise BagError(f'{file} has actions that are shares or changes (input_max and '
                           f'output_max {brief(ends)}), expected commands in SI units')
    return '' if controllers else (
        f'{file} does not say which controller its actions are for (controller_configs in '
        f'env_args): they are taken as {robot.command_field}')


def _controllers(value: Any) -> Iterator[dict[str, Any]]:
    """Yield what names a type of controller, at any depth that parse_json lets through."""
    if isinstance(value, dict):
        if isinstance(value.get('type'), str) and value['type'] not in COMPOSED:
            yield value
        for inside in value.values():
            yield from _controllers(inside)


def _verdict(file: Path, data: Hdf5, demo: str, steps: int, tell: Callable[[str], None]) -> str:
    """Return how a demonstration ended, '' where its rewards are no verdict."""
    if 'rewards' not in data.names(demo):
        return ''
    place = data.array(f'{demo}/rewards', 1)
    if len(place) != steps:
        raise BagError(f'{file}: {demo} has {len(place)} rewards, expected {steps}')
    rewards = data.rows(place, 0, steps)
    if np.isin(rewards, (0, 1)).all():
        return 'success' if rewards.any() else 'failure'
    tell(f'{file}: the rewards of {demo} are no verdict (up to {float(rewards.max()):g}), '
         'expected 0 and 1: give --success or --failure')
    return ''


def _fields(data: Hdf5, demo: str, robot: RobotSpec) -> dict[str, Any]:
    """Return field -> its array in the file, all of one length."""
    spec, names = robot.timestep(), features(robot)
    found: dict[str, Any] = {}
    for field in (*spec.images, *spec.tensors, *spec.actions):
        where = names[field.name]
        if not data.has(f'{demo}/{where}'):
            there = [*data.names(demo), *(f'obs/{name}' for name in (
                data.names(f'{demo}/obs') if data.has(f'{demo}/obs') else ()))]
            raise BagError(f'{data.file}/{demo} has no {where!r}, expected it for {field.name} '
                           f'(features in the YAML file of robot {robot.name!r}); it has '
                           f'{brief(there)}')
        found[field.name] = data.array(f'{demo}/{where}', 4 if field in spec.images else 2)
    lengths = {name: len(values) for name, values in found.items()}
    if len(set(lengths.values())) != 1:
        raise BagError(f'{data.file}/{demo} has {lengths} frames, expected as many of each')
    return found


def _steps(data: Hdf5, found: Mapping[str, Any], robot: RobotSpec) -> Iterator[Step]:
    cameras = {camera.name for camera in robot.cameras}
    number = 0
    for block in data.blocks(found):
        for i in range(len(next(iter(block.values())))):
            row = {name: values[i] for name, values in block.items()}
            yield Step(round(number * 1e9 / robot.rate_hz),
                       {name: row[name] for name in cameras},
                       {name: value.astype(np.float64) for name, value in row.items()
                        if name not in cameras})
            number += 1
