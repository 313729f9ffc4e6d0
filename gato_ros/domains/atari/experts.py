"""Who plays each game well: functions of the console's memory now and one timestep earlier.

They know no plan of their own, so each can say what to do in any state that a policy gets into.
Addresses in the memory are those that the AtariARI benchmark (Anand et al. 2019) and OCAtari
(Delfosse et al. 2024) list, and others found by trying.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gato_ros.domains.atari.paddles import breakout, pong
from gato_ros.domains.atari.shooters import carnival, space_invaders
from gato_ros.domains.atari.sports import boxing, fishing_derby, skiing
from gato_ros.domains.atari.walkers import freeway, gopher

Expert = Callable[[np.ndarray, np.ndarray], int]  # int[128] now, int[128] then -> buttons
EXPERTS: dict[str, Expert] = {
    'boxing': boxing, 'breakout': breakout, 'carnival': carnival,
    'fishing_derby': fishing_derby, 'freeway': freeway, 'gopher': gopher, 'pong': pong,
    'skiing': skiing, 'space_invaders': space_invaders}
