"""What can be said of one moment before the arm: exact, from the simulator's state.

Words about a scene are targets of the training and the key of an evaluation; a policy sees the
pictures alone. What a picture would not decide (a block half over an edge, fingers half open) is
None here, and nobody asks about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from gato_ros.domains.stacking.env import StackingEnv
from gato_ros.domains.stacking.judge import stacked
from gato_ros.domains.stacking.tasks import BLOCKS
from gato_ros.domains.stacking.world import World

TABLE, HAND = 'table', 'hand'
FEWEST_PIXELS = {'front': 6, 'wrist': 25}  # in which a block can be recognised; it has about 30
ASIDE = 0.1  # half pictures between columns of two blocks that are left and right: 3 pixels of 64
OPEN, CLOSED = 0.034, 0.012  # m, half the gap between the fingers: above, below
LOW = 0.012  # m between a block and what it might stand on, where it is hard to tell
FAR = np.array([2.5, 0.0, -0.58])  # m: on the floor behind the camera, where nobody sees a block

Grip = Literal['open', 'closed', 'holding']


@dataclass(frozen=True, eq=False)
class Scene:
    """One moment; positions float64[3] in m, base frame.

    blocks   colour -> centre, of the blocks that are there
    seen     colours of those that the pictures show well enough
    column   colour -> where the front camera has it, from -1 (left edge) to 1
    support  colour -> what it stands on: a colour, 'table', 'hand' (in the air), None: unclear
    hand     the middle between the fingertips
    grip     None: the fingers are on their way
    held     the colour between the fingers, '' for none
    done     whether the arm has done what it was to do
    """

    blocks: Mapping[str, np.ndarray]
    seen: frozenset[str]
    column: Mapping[str, float]
    support: Mapping[str, str | None]
    hand: np.ndarray
    grip: Grip | None
    held: str
    done: bool

    @property
    def clear(self) -> bool:
        """Whether all blocks are seen, and where each of them stands."""
        return self.seen == set(self.blocks) and None not in self.support.values()

    def upon(self, lower: str) -> str:
        """Return what stands on a block, '' for nothing."""
        return next((c for c, below in self.support.items() if below == lower), '')

    @property
    def stacks(self) -> list[tuple[str, ...]] | None:
        """Blocks from the bottom up, by column from left to right; None where that is unclear."""
        bottoms = sorted((c for c, below in self.support.items() if below == TABLE),
                         key=lambda c: self.column[c])
        if not self.clear or any(self.column[b] - self.column[a] < ASIDE
                                 for a, b in pairwise(bottoms)):
            return None
        found = []
        for bottom in bottoms:
            stack = [bottom]
            while above := self.upon(stack[-1]):
                stack.append(above)
            found.append(tuple(stack))
        return found


def look(env: StackingEnv, absent: frozenset[str] = frozenset()) -> Scene:
    """Return what is to be said of an environment's present state.

    absent  colours of blocks that were put out of sight, to FAR
    """
    world = env.world
    there = [name for name in BLOCKS if name not in absent]
    held = next((name for name in there if world.held(name)), '')
    pixels = {camera.name: env.visible(camera.name, camera.height, camera.width)
              for camera in env.robot.cameras}
    seen = {name for name in there
            if pixels['front'][name] >= FEWEST_PIXELS['front']
            or (name == held and pixels['wrist'][name] >= FEWEST_PIXELS['wrist'])}
    return Scene({name: world.block(name) for name in there}, frozenset(seen),
                 {name: _column(world, name) for name in there},
                 {name: _support(world, name, held, there) for name in there},
                 world.tcp, _grip(world, held, there), held, env.success)


def _grip(world: World, held: str, there: list[str]) -> Grip | None:
    if held:
        return 'holding'
    if world.opening > OPEN:
        return 'open'
    near = any(np.linalg.norm(world.tcp - world.block(name)) < 0.04 for name in there)
    return 'closed' if world.opening < CLOSED and not near else None


def _support(world: World, name: str, held: str, there: list[str]) -> str | None:
    bottom = world.block(name)[2] - world.height(name) / 2
    if name == held:
        for other in there:
            offset = world.block(name) - world.block(other)
            gap = bottom - (world.block(other)[2] + world.height(other) / 2)
            if other != name and np.linalg.norm(offset[:2]) < 0.05 and gap < LOW:
                return None
        return HAND if bottom > LOW else None
    if world.block_rotation(name)[2, 2] < 0.98 and world.shapes[name].kind == 'box':
        return None  # it leans or falls
    below = [other for other in there if other != name and stacked(world, name, other)]
    if below:
        return below[0]
    return TABLE if abs(bottom) < 0.004 else None


def _column(world: World, name: str) -> float:
    """Return where the front camera has a block's centre: -1 is the picture's left edge, 1 its
    right one."""
    camera = world.model.cam('front').id
    turn = world.data.cam_xmat[camera].reshape(3, 3)
    x, _, z = turn.T @ (world.block(name) - world.data.cam_xpos[camera])
    return float(x / (-z * np.tan(np.deg2rad(world.model.cam_fovy[camera]) / 2)))
