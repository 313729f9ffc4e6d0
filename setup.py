"""Install gato_ros, with pip (programs in bin) or with colcon (programs in lib/gato_ros)."""

import os
import re
from glob import glob
from pathlib import Path

from setuptools import find_packages, setup

NAME = 'gato_ros'
SHARE = os.path.join('share', NAME)
# ROS 2 for machines without one; such wheels exist for x86-64 Linux only.
WHEELS = ('builtin-interfaces', 'diagnostic-msgs', 'geometry-msgs', 'lifecycle-msgs',
          'rcl-interfaces', 'rclpy', 'rmw-fastrtps-cpp', 'rosgraph-msgs', 'sensor-msgs',
          'std-msgs', 'std-srvs', 'visualization-msgs')
# What each domain of other people's worlds needs; `make demo` needs none of them.
DOMAINS = {
    'atari': ['ale-py>=0.11,<0.13', 'gymnasium>=1.2,<2'],
    'babyai': ['minigrid>=3,<4'],
    'dm_control': ['dm_control>=1.0.38,<2'],
    'fetch': ['gymnasium-robotics>=1.4,<2'],
    'gymnasium': ['gymnasium[box2d,mujoco,toy-text]>=1.2,<2', 'pygame-ce>=2.5'],
    'metaworld': ['metaworld==3.0.0'],  # later ones want an old MuJoCo
    'ogbench': ['ogbench>=1.2,<2'],
}
ALL_DOMAINS = sorted({line for lines in DOMAINS.values() for line in lines})


def tree(folder: str) -> list[tuple[str, list[str]]]:
    """List every file below ``folder`` with its destination, which data_files keeps flat."""
    return [(os.path.join(SHARE, place), [os.path.join(place, name) for name in sorted(names)])
            for place, _, names in os.walk(folder) if names and '__pycache__' not in place]


def requirements() -> list[str]:
    """Return the lines of requirements.txt without its comments."""
    here = Path(__file__).resolve().parent  # colcon --symlink-install runs a link to this file
    text = (here / 'requirements.txt').read_text(encoding='utf-8')
    return [line for line in re.sub('#.*', '', text).splitlines() if line.strip()]


setup(
    name=NAME,
    version='0.4.0',
    description='An open generalist robot agent: one Gato-style transformer in a ROS 2 package.',
    author='The gato_ros developers',
    maintainer='The gato_ros developers',
    maintainer_email='gato-ros@users.noreply.github.com',
    license='Apache-2.0',
    python_requires='>=3.10',
    packages=find_packages(include=[NAME, f'{NAME}.*']),
    package_data={NAME: ['assets/**/*', 'model/native/*', 'policy/native/*']},
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{NAME}']),
        (SHARE, ['package.xml']),
        (os.path.join(SHARE, 'launch'), sorted(glob('launch/*.launch.py'))),
        *tree('config'),
        *tree('rviz'),
        *tree('sim'),
    ],
    install_requires=requirements(),
    extras_require={
        'bench': ['accelerate', 'transformers'],
        'cluster': ['ray>=2.40,<3'],
        **DOMAINS,
        'domains': ALL_DOMAINS,
        'exchange': ['av>=14', 'h5py>=3.8,<4', 'pyarrow>=15'],
        'ros': [f"ros-jazzy-{name}; platform_machine == 'x86_64'" for name in WHEELS],
        'test': [*ALL_DOMAINS, 'av', 'h5py', 'hypothesis', 'mypy', 'psutil', 'pyarrow',
                 'pytest>=7.4', 'pytest-rerunfailures', 'ruff', 'setuptools'],
    },
    zip_safe=False,
    entry_points={'console_scripts': [
        f'gato-ros = {NAME}.tools.cli:main',
        *(f'{node} = {NAME}.nodes.{room}.{node}:main'
          for room, node in (('frames', 'frames_node'),
                             ('policy', 'player_node'), ('policy', 'policy_node'),
                             ('recorder', 'recorder_node'), ('safety', 'safety_node'),
                             ('simulator', 'sim_node'), ('simulator', 'world_node'),
                             ('teleoperation', 'teleop_node'))),
    ]},
)
