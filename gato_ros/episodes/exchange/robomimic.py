"""robomimic's HDF5, in: every demonstration of a file as one of our recordings.

    import_robomimic(Path('low_dim.hdf5'), Path('demos'), load_robot('my_panda.yaml'))

The features of the robot's YAML file say where things are in a demonstration's group, such as
``obs/robot0_joint_pos`` or ``actions``. Actions must be what the robot takes, joint torques: a
dataset whose actions are steps of the tool is another robot's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from gato_ros.episodes.exchange.recording import Step, write_recording
from gato_ros.episodes.recordings.mcap_file import BagError
from gato_ros.episodes.recordings.topics import features
from gato_ros.robot import RobotSpec


def import_robomimic(file: Path, out: Path, robot: RobotSpec, sentence: str) -> Iterator[Path]:
    """Write each demonstration as a recording into ``out``, and yield its file.

    sentence  what the file's demonstrations show

    Raises BagError for a file that cannot be read or is not this robot's.
    """
    try:
        with h5py.File(file, 'r') as data:
            _check_rate(file, data['data'], robot)
            for name in sorted(data['data'], key=lambda name: (len(name), name)):
                demo = data['data'][name]
                rewards = np.asarray(demo['rewards']) if 'rewards' in demo else np.zeros(0)
                outcome = '' if not rewards.size else (
                    'success' if rewards.max() > 0 else 'failure')
                target = out / f'{file.stem}-{name}.mcap'
                write_recording(target, robot, _steps(file, demo, robot), {
                    'sentence': sentence, 'source': 'teleoperation', 'outcome': outcome,
                    'note': f'from robomimic {file.name}, {name}'})
                yield target
    except (OSError, KeyError) as error:
        raise BagError(f'{file} cannot be read as a robomimic file ({error})') from error


def _check_rate(file: Path, group: Any, robot: RobotSpec) -> None:
    try:
        arguments = json.loads(group.attrs['env_args'])
        found = float(arguments['env_kwargs']['control_freq'])
    except (KeyError, ValueError, TypeError) as error:
        raise BagError(f'{file} does not say its control_freq in env_args, expected '
                       f'{robot.rate_hz:g} there') from error
    if found != robot.rate_hz:
        raise BagError(f'{file} has control_freq {found:g}, expected {robot.rate_hz:g} (rate_hz '
                       f'in the YAML file of robot {robot.name!r})')


def _steps(file: Path, demo: Any, robot: RobotSpec) -> Iterator[Step]:
    spec, names = robot.timestep(), features(robot)
    found: dict[str, Any] = {}
    for name in (field.name for fields in (spec.images, spec.tensors, spec.actions)
                 for field in fields):
        where = names[name]
        if where not in demo:
            raise BagError(f'{file}{demo.name} has no {where!r}, expected it for {name} '
                           f'(features in the YAML file of robot {robot.name!r}); it has '
                           f'{", ".join((*demo, *(f"obs/{key}" for key in demo.get("obs", ()))))}')
        found[name] = demo[where]
    lengths = {name: len(values) for name, values in found.items()}
    if len(set(lengths.values())) != 1:
        raise BagError(f'{file}{demo.name} has {lengths} frames, expected as many of each')
    cameras = {camera.name for camera in robot.cameras}
    for number in range(next(iter(lengths.values()))):
        row = {name: np.asarray(values[number]) for name, values in found.items()}
        yield Step(round(number * 1e9 / robot.rate_hz),
                   {name: value for name, value in row.items() if name in cameras},
                   {name: value.astype(np.float64) for name, value in row.items()
                    if name not in cameras})
