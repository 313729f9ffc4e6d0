"""The table of tasks: which environment, which words, which limits, which expert."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium

from gato_ros.domains.classic import balance, rules, tables
from gato_ros.domains.classic.linear import linear
from gato_ros.domains.classic.rules import Rule
from gato_ros.domains.gym_spaces import FieldSettings


@dataclass(frozen=True)
class ClassicTask:
    """One task.

    environment  what gymnasium.make takes;  options: of it
    expert       the environment -> the function that answers what is seen
    seen         names and limits: the space has none, or far wider ones than an episode needs
    kept         which values of what is seen stay; (): all
    parts        of a grid world's state, name -> how many values it has
    longest      timesteps of an episode; None: as Gymnasium has it
    """

    environment: str
    sentence: str
    expert: Callable[[gymnasium.Env], Rule]
    seen: FieldSettings = field(default_factory=FieldSettings)
    options: Mapping[str, Any] = field(default_factory=dict)
    kept: tuple[int, ...] = ()
    parts: Mapping[str, int] = field(default_factory=dict)
    longest: int | None = None
    held_out: bool = False

    def make_options(self) -> dict[str, Any]:
        """Return what gymnasium.make gets beside the name."""
        return {**self.options} | ({'max_episode_steps': self.longest} if self.longest else {})


def _always(rule: Rule) -> Callable[[gymnasium.Env], Rule]:
    return lambda world: rule


_LANDER = FieldSettings(
    names=('x', 'y', 'speed_x', 'speed_y', 'angle', 'turning', 'left_leg', 'right_leg'),
    units=('', '', '', '', 'rad', '', '', ''),
    low=(-1.5, -0.5, -2.0, -2.0, -2.0, -3.0, 0.0, 0.0),
    high=(1.5, 2.0, 2.0, 2.0, 2.0, 3.0, 1.0, 1.0))
_LONG = 500  # timesteps of an episode in MuJoCo, half of Gymnasium's: a board plays 50 of them
_LEGS = ('back_thigh', 'back_shin', 'back_foot', 'front_thigh', 'front_shin', 'front_foot')
_CAR = FieldSettings(names=('position', 'velocity'), units=('m', 'm/step'))

TASKS = {
    'cart_pole': ClassicTask(
        'CartPole-v1', 'keep the pole on the cart upright', _always(rules.cart_pole),
        FieldSettings(names=('position', 'velocity', 'angle', 'turning'),
                      units=('m', 'm/s', 'rad', 'rad/s'),
                      low=(-2.4, -3.0, -0.21, -3.0), high=(2.4, 3.0, 0.21, 3.0))),
    'mountain_car': ClassicTask(
        'MountainCar-v0', 'drive the car up the mountain', _always(rules.mountain_car), _CAR),
    # Held out: its sister, with buttons in place of a force, is trained.
    'mountain_car_continuous': ClassicTask(
        'MountainCarContinuous-v0', 'drive the car up the mountain with a force',
        _always(rules.mountain_car_continuous), _CAR, held_out=True),
    'pendulum': ClassicTask(
        'Pendulum-v1', 'swing the pendulum up and hold it', _always(rules.pendulum),
        FieldSettings(names=('cosine', 'sine', 'speed'), units=('', '', 'rad/s'))),
    'acrobot': ClassicTask(
        'Acrobot-v1', 'swing both links above the line', _always(rules.acrobot),
        FieldSettings(names=('cosine_1', 'sine_1', 'cosine_2', 'sine_2', 'speed_1', 'speed_2'),
                      units=('', '', '', '', 'rad/s', 'rad/s'),
                      low=(-1.0, -1.0, -1.0, -1.0, -8.0, -16.0),
                      high=(1.0, 1.0, 1.0, 1.0, 8.0, 16.0))),
    'lunar_lander': ClassicTask(
        'LunarLander-v3', 'land between the flags by four buttons', rules.lander, _LANDER,
        longest=500),
    'lunar_lander_continuous': ClassicTask(
        'LunarLander-v3', 'land between the flags by two throttles', rules.lander, _LANDER,
        {'continuous': True}, longest=500),
    'frozen_lake': ClassicTask(
        'FrozenLake-v1', 'cross the small frozen lake', tables.planner, parts={'place': 16}),
    'frozen_lake_8x8': ClassicTask(
        'FrozenLake8x8-v1', 'cross the large frozen lake', tables.planner,
        parts={'row': 8, 'column': 8}),
    'cliff_walking': ClassicTask(
        'CliffWalking-v1', 'walk along the cliff to the goal', tables.planner,
        parts={'row': 4, 'column': 12}, longest=100),
    'cliff_walking_slippery': ClassicTask(
        'CliffWalking-v1', 'walk along the slippery cliff to the goal', tables.planner,
        options={'is_slippery': True}, parts={'row': 4, 'column': 12}, longest=200),
    'taxi': ClassicTask(
        'Taxi-v4', 'take the passenger to the destination', tables.planner,
        parts={'row': 5, 'column': 5, 'passenger': 5, 'destination': 4}),
    'inverted_pendulum': ClassicTask(
        'InvertedPendulum-v5', 'balance one pole on the sliding cart', balance.pole,
        FieldSettings(names=('position', 'angle', 'velocity', 'turning'),
                      units=('m', 'rad', 'm/s', 'rad/s'),
                      low=(-1.0, -0.21, -3.0, -3.0), high=(1.0, 0.21, 3.0, 3.0)), longest=_LONG),
    # Cosines and the rail's force are left out.
    'inverted_double_pendulum': ClassicTask(
        'InvertedDoublePendulum-v5', 'balance two poles on the sliding cart', balance.two_poles,
        FieldSettings(names=('position', 'sine_1', 'sine_2', 'velocity', 'turning_1', 'turning_2'),
                      units=('m', '', '', 'm/s', 'rad/s', 'rad/s'),
                      low=(-1.0, -0.7, -0.7, -4.0, -6.0, -8.0),
                      high=(1.0, 0.7, 0.7, 4.0, 6.0, 8.0)),
        kept=(0, 1, 2, 5, 6, 7), longest=_LONG),
    'reacher': ClassicTask(
        'Reacher-v5', 'bring the tip of the two links to the target', _always(balance.two_links),
        FieldSettings(names=('cosine_1', 'cosine_2', 'sine_1', 'sine_2', 'target_x', 'target_y',
                             'speed_1', 'speed_2', 'away_x', 'away_y'),
                      units=('', '', '', '', 'm', 'm', 'rad/s', 'rad/s', 'm', 'm'),
                      low=(-1.0, -1.0, -1.0, -1.0, -0.2, -0.2, -20.0, -20.0, -0.4, -0.4),
                      high=(1.0, 1.0, 1.0, 1.0, 0.2, 0.2, 20.0, 20.0, 0.4, 0.4))),
    'swimmer': ClassicTask(
        'Swimmer-v5', 'swim forwards', linear('swimmer'),
        FieldSettings(names=('angle', 'joint_1', 'joint_2', 'speed_x', 'speed_y', 'turning',
                             'speed_1', 'speed_2'),
                      units=('rad', 'rad', 'rad', 'm/s', 'm/s', 'rad/s', 'rad/s', 'rad/s'),
                      low=(-2.0, -2.0, -2.0, -2.5, -3.0, -4.0, -6.0, -7.0),
                      high=(2.0, 2.0, 2.0, 2.5, 3.0, 4.0, 6.0, 7.0)), longest=_LONG),
    'half_cheetah': ClassicTask(
        'HalfCheetah-v5', 'run forwards on two legs', linear('half_cheetah'),
        FieldSettings(names=('height', 'angle', *_LEGS, 'speed_x', 'speed_z', 'turning',
                             *(f'{joint}_speed' for joint in _LEGS)),
                      units=('m', *('rad',) * 7, 'm/s', 'm/s', *('rad/s',) * 7),
                      low=(-0.6, -3.5, *(-1.1,) * 6, -3.0, -4.0, -6.0, *(-25.0,) * 6),
                      high=(0.4, 3.5, *(1.1,) * 6, 7.0, 4.0, 6.0, *(25.0,) * 6)),
        longest=_LONG),
}
