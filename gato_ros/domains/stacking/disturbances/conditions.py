"""The disturbances by name: physics or pictures, never told to a policy."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gato_ros.config import ConfigError


@dataclass(frozen=True)
class Disturbance:
    """What differs; the defaults are the world as it is.

    late       control periods by which everything that is seen is late
    gain       factor of the arm's residual torques;  damping: of its joints' damping
    arm        damping, dry friction and rotors' inertia of the arm that is meant, as a share of
               the damping: None: those of sim/stacking.xml and of the robot's file
    push_n     level force on the hand for a fifth of a second, once
    moved_m    how far the block to be grasped is put aside as the hand comes near, once
    camera_m, camera_rad  by which the front camera is moved and turned, some way
    side_mm    of the three cubes
    fourth     colour of a block that no sentence means; '': none
    black      cameras that see nothing;  black_s: for so long, once; 0: always
    table      its colour, 0 to 1;  light: factor of all light
    load_kg    in the hand, unknown to the arm's side
    pixel_noise  deviation of each value of 0 to 255;  joint_noise: of positions in rad, and ten
               times as much of velocities in rad/s
    """

    title: str
    late: int = 0
    gain: float = 1.0
    damping: float = 1.0
    arm: float | None = None
    push_n: float = 0.0
    moved_m: float = 0.0
    camera_m: float = 0.0
    camera_rad: float = 0.0
    side_mm: int = 40
    fourth: str = ''
    black: tuple[str, ...] = ()
    black_s: float = 0.0
    table: tuple[float, float, float] | None = None
    light: float = 1.0
    load_kg: float = 0.0
    pixel_noise: float = 0.0
    joint_noise: float = 0.0


BOTH = ('front', 'wrist')
COLOURS = {'yellow': (0.95, 0.85, 0.1), 'orange': (0.95, 0.5, 0.05), 'red': (0.9, 0.1, 0.08)}
# The FR3 with its controller's damping, Nm s/rad; rotors through their gears, kg m2; what its
# friction compensation is taken to leave, Nm: a fifth of the dry friction that was identified on
# the Panda (Gaz et al., 2019), rounded. Shoulder and elbow, then wrist.
ARM_DAMPING = (10.0, 10.0, 10.0, 10.0, 2.0, 2.0, 1.0)
ARM_ARMATURE = (0.195, 0.195, 0.195, 0.195, 0.074, 0.074, 0.074)
ARM_FRICTION = (0.15, 0.15, 0.15, 0.25, 0.15, 0.06, 0.1)

DISTURBANCES = {
    'late_1': Disturbance('seen one period late', late=1),
    'late_2': Disturbance('seen two periods late', late=2),
    'late_3': Disturbance('seen three periods late', late=3),
    'gain_80': Disturbance('torques x 0.8', gain=0.8),
    'gain_120': Disturbance('torques x 1.2', gain=1.2),
    'damping_80': Disturbance('joint damping x 0.8', damping=0.8),
    'damping_120': Disturbance('joint damping x 1.2', damping=1.2),
    'push_40': Disturbance('a push of 40 N', push_n=40.0),
    'push_80': Disturbance('a push of 80 N', push_n=80.0),
    'moved_block': Disturbance('block moved 5 cm before the grasp', moved_m=0.05),
    'camera_moved': Disturbance('front camera moved 3 cm', camera_m=0.03),
    'camera_turned': Disturbance('front camera turned 5 degrees', camera_rad=math.radians(5)),
    'blocks_35': Disturbance('blocks of 3.5 cm', side_mm=35),
    'blocks_45': Disturbance('blocks of 4.5 cm', side_mm=45),
    'blocks_50': Disturbance('blocks of 5 cm', side_mm=50),
    'fourth_yellow': Disturbance('a fourth block, yellow', fourth='yellow'),
    'fourth_orange': Disturbance('a fourth block, orange', fourth='orange'),
    'fourth_red': Disturbance('a second red block, told apart by place', fourth='red'),
    'front_black': Disturbance('front camera black', black=('front',)),
    'wrist_black': Disturbance('wrist camera black', black=('wrist',)),
    'both_black': Disturbance('both cameras black for 0.5 s', black=BOTH, black_s=0.5),
    'table_white': Disturbance('table white', table=(0.92, 0.92, 0.92)),
    'table_dark': Disturbance('table dark', table=(0.12, 0.11, 0.10)),
    'table_reddish': Disturbance('table reddish', table=(0.55, 0.28, 0.22)),
    'light_40': Disturbance('light x 0.4', light=0.4),
    'load_500': Disturbance('half a kilogram in the hand', load_kg=0.5),
    'load_1000': Disturbance('a kilogram in the hand', load_kg=1.0),
    'pixel_noise': Disturbance('noise of pixels, 10 of 255', pixel_noise=10.0),
    'joint_noise': Disturbance('noise of joints, 5 mrad, 50 mrad/s', joint_noise=0.005),
}
ROOMS, IN_ROOMS = 'rooms', 'a room of its own in each episode'  # see rooms.py
# Other arms, beside the disturbances: none of them is a world that today's weights were meant for.
ARMS = {
    'damping_real': Disturbance("the FR3's damping, friction and rotors", arm=1.0),
    'damping_half': Disturbance('half of its damping', arm=0.5),
    'damping_none': Disturbance('none of its damping', arm=0.0),
}


def find_disturbance(name: str) -> Disturbance:
    """Return a disturbance or another arm by its name; ConfigError for an unknown one."""
    known = DISTURBANCES | ARMS
    if name not in known:
        raise ConfigError(f'disturbance {name!r} is unknown, expected one of '
                          f'{", ".join((*known, ROOMS))}')
    return known[name]
