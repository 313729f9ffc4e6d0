"""Tasks of the suite, and what is seen and done in each of its bodies.

An observation holds the suite's own entries, clipped to limits that were measured (random actor
and expert, 2 to 8 episodes each); what another entry says already is left out. A decision is four
control steps, as is usual (PlaNet, https://arxiv.org/abs/1811.04551): 250 in an episode.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gato_ros.domains.domain import TaskSpec
from gato_ros.spec import ContinuousField, TimestepSpec

STEPS = 1000  # control steps of an episode, the suite's own limit


@dataclass(frozen=True)
class Body:
    """One model with what is seen of it.

    repeat  control steps of a decision
    pairs   entries of (cosine, sine) pairs that are shown as one angle each, rad
    turns   entries with an angle that may turn round and round, shown in [-pi, pi)
    """

    spec: TimestepSpec
    repeat: int = 4
    pairs: tuple[str, ...] = ()
    turns: tuple[str, ...] = ()

    def read(self, name: str, entry: np.ndarray) -> np.ndarray:
        """Return float64[n], the values of a field from the suite's entry of this name."""
        values = np.atleast_1d(np.asarray(entry, float))
        if name in self.pairs:
            return np.arctan2(values[1::2], values[::2])
        return (values + np.pi) % (2 * np.pi) - np.pi if name in self.turns else values


def _entry(name: str, names: str, *limits: float | tuple[float, float]) -> ContinuousField:
    """Return a field; a limit is one number for both sides, the last one is repeated."""
    parts = tuple(names.split())
    ends = [end if isinstance(end, tuple) else (-end, end) for end in limits]
    ends += ends[-1:] * (len(parts) - len(ends))
    return ContinuousField(name, parts, tuple(low for low, _ in ends),
                           tuple(high for _, high in ends))


def _body(actions: str, *entries: ContinuousField, **reading: Any) -> Body:
    return Body(TimestepSpec(continuous=entries,
                             continuous_actions=(_entry('control', actions, 1.0),)),
                **reading)


_LEGS = 'right_hip right_knee right_ankle left_hip left_knee left_ankle'
_LIMBS = 'right_thigh right_leg right_foot left_thigh left_leg left_foot'
_CHEETAH = 'back_thigh back_shin back_foot front_thigh front_shin front_foot'
_TAIL = 'tail1 tail_twist tail2 right_roll right_pitch left_roll left_pitch'
_FISH = (
    _entry('joint_angles', _TAIL, 1.1),
    _entry('upright', 'up', 1),
    _entry('velocity', f'x y z roll pitch yaw {_TAIL}', .1, .1, .1, 1, 1, 1, 6))
_FINGER = (
    _entry('position', 'proximal distal tip_x tip_z', 2.1, 2.1, .131),
    _entry('touch', 'top bottom', (0, 6)),
    _entry('velocity', 'proximal distal hinge', 12.5, 9, 30))

BODIES: dict[str, Body] = {
    'acrobot': _body(
        'elbow',
        _entry('orientations', 'upper_x lower_x upper_z lower_z', 1),
        _entry('velocity', 'shoulder elbow', 10, 25)),
    'ball_in_cup': _body(
        'x z',
        _entry('position', 'cup_x cup_z ball_x ball_z', .32, .32, .5, .55),
        _entry('velocity', 'cup_x cup_z ball_x ball_z', 2.1, 2.1, 3.3)),
    'cartpole': _body(
        'force',
        _entry('position', 'cart cos sin', 2, 1),
        _entry('velocity', 'cart pole', 4, 12)),
    'cheetah': _body(
        _CHEETAH,
        _entry('position', f'height pitch {_CHEETAH}', .5, np.pi, 1.1),
        _entry('velocity', f'x z pitch {_CHEETAH}', 8, 3, 6, 22),
        turns=('position',)),
    'finger_turn': _body('proximal distal', *_FINGER,
                         _entry('target_position', 'x z', .131)),
    'fish_upright': _body('tail tail_twist fins_flap finleft_pitch finright_pitch', *_FISH),
    'fish_swim': _body('tail tail_twist fins_flap finleft_pitch finright_pitch', *_FISH,
                       _entry('target', 'x y z', .7)),
    'pendulum': _body(
        'torque',
        _entry('orientation', 'cos sin', 1),
        _entry('velocity', 'hinge', 10)),
    'point_mass': _body(
        'x y',
        _entry('position', 'x y', .3),
        _entry('velocity', 'x y', .11)),
    'reacher': _body(
        'shoulder wrist',
        _entry('position', 'shoulder wrist', np.pi),
        _entry('to_target', 'x y', .4),
        _entry('velocity', 'shoulder wrist', 7),
        turns=('position',)),
    'walker': _body(
        _LEGS,
        _entry('height', 'torso', (0, 1.6)),
        _entry('orientations', f'torso {_LIMBS}', np.pi),
        _entry('velocity', f'z x pitch {_LEGS}', 5, 10, 18, 36),
        pairs=('orientations',)),
}

# Named as the suite does, domain-task: (sentence, body)
_TASKS = {
    'cartpole-balance': ('keep the pole upright', 'cartpole'),
    'cartpole-balance_sparse': ('keep the pole upright in the middle', 'cartpole'),
    'cartpole-swingup': ('swing the pole up and balance it', 'cartpole'),
    'cartpole-swingup_sparse': ('swing the pole up, hold it in the middle', 'cartpole'),
    'pendulum-swingup': ('swing the pendulum up and hold it', 'pendulum'),
    'point_mass-easy': ('bring the point to the middle', 'point_mass'),
    'reacher-easy': ('reach the large target', 'reacher'),
    'reacher-hard': ('reach the small target', 'reacher'),
    'ball_in_cup-catch': ('catch the ball in the cup', 'ball_in_cup'),
    'cheetah-run': ('run forwards like a cheetah', 'cheetah'),
    'finger-turn_easy': ('turn the tip into the large target', 'finger_turn'),
    'finger-turn_hard': ('turn the tip into the small target', 'finger_turn'),
    'fish-upright': ('turn the fish upright', 'fish_upright'),
    'fish-swim': ('swim to the target', 'fish_swim'),
    'walker-stand': ('stand upright on two legs', 'walker'),
    'walker-walk': ('walk forwards on two legs', 'walker'),
    'acrobot-swingup': ('swing both arms up and hold them', 'acrobot'),
    'acrobot-swingup_sparse': ('swing both arms up to the very top', 'acrobot'),
}
TASKS = {name: TaskSpec(name, sentence, body) for name, (sentence, body) in _TASKS.items()}
