"""A scripted expert: from the simulator's state to torques, without memory.

Each call finds the phase anew from where the blocks and the hand are, so the expert can label any
state that a learned policy reaches, and recovers by itself: a lost block is simply a block that is
not held. All transitions depend on distances that a camera can see; speeds follow from a target
that is never far ahead of the hand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gato_ros.domains.stacking.env import StackingEnv
from gato_ros.domains.stacking.judge import REACH_HEIGHT, stacked
from gato_ros.domains.stacking.orientation import facing_down, rotation_vector
from gato_ros.domains.stacking.reset import CENTRE
from gato_ros.domains.stacking.tasks import BLOCKS
from gato_ros.kinematics import inverse_step, shortened

STRIDE = 0.055  # m: the target is at most this far ahead of the hand, which bounds its speed
TURN = 0.4  # rad, likewise
HOVER = 0.07  # m above a grasp or a place, while the hand is not over it yet
GRAVITY = 9.81  # m/s2
OPEN, CLOSE = 1.0, -1.0  # share of the finger's scale


@dataclass(frozen=True)
class Aim:
    """Where the hand should go: tcp position float64[3] (m), yaw (rad), fingers (-1 to 1)."""

    position: np.ndarray
    yaw: float
    fingers: float


class Expert:
    """Solves ``env``'s task; ``desired`` is float64[N], where its last act pulled the joints."""

    def __init__(self, env: StackingEnv) -> None:
        self._env, self._world = env, env.world
        self._stiffness, self._home = env.world.stiffness, env.world.home
        body = env.world.body
        self._body, self._twist = body, np.array(
            [body.twist.get(name, 0.0) for name in env.world.arm_names])
        # Half gaps in m: open enough to go, and not yet so.
        self._open, self._nearly = round(body.widest - 0.004, 6), round(body.widest - 0.006, 6)
        closed = env.robot.joints[env.world.finger].position[0 if body.opens > 0 else 1]
        self._ends = {OPEN: body.opened[body.gripper], CLOSE: closed}
        self.desired = env.world.joint_positions.copy()

    def act(self) -> np.ndarray:
        """Return torques float64[N] in Nm (N for the finger), within the robot's scale."""
        world, scale = self._world, self._env.robot.scale
        aim = self._aim()
        homewards = self._home - world.joint_positions[world.arm]
        turn = rotation_vector(facing_down(aim.yaw), world.tcp_rotation)
        step = inverse_step(world.tcp_jacobian(), shortened(aim.position - world.tcp, STRIDE),
                        shortened(turn, TURN), 0.2 * homewards)
        # Where the hand points elsewhere or is wound up, straight lines end at joint limits: the
        # rest posture is the way out.
        tilt = np.arccos(np.clip(-world.tcp_rotation[2, 2], -1.0, 1.0))
        lost = max(_ramp(tilt, 0.6, 1.0), _ramp(float(np.max(np.abs(homewards))), 2.6, 3.0))
        step += lost * (shortened(homewards, TURN) - step)
        torque = self._stiffness * step
        if world.undamped.any():  # what the arm's side does not damp, the command must
            torque -= world.undamped * world.joint_velocities[world.arm]
        if world.load_kg:
            torque += GRAVITY * world.load_kg * world.tcp_jacobian()[2]
        torque /= max(1.0, float(np.max(np.abs(torque) / scale[world.arm])))  # keeps direction
        effort = np.empty(len(scale))
        effort[world.arm] = torque
        effort[world.finger] = self._body.opens * aim.fingers * scale[world.finger]
        self.desired = world.joint_positions.copy()
        self.desired[world.arm] += step
        self.desired[world.finger] = self._ends[aim.fingers]
        return effort

    # The task's plan: which block goes where.

    def _aim(self) -> Aim:
        world, task = self._world, self._env.task
        if task.kind == 'reach':
            return self._aim_reach(task.blocks[0])
        if task.kind == 'lift':
            return self._aim_lift(task.blocks[0])
        for upper, lower in task.pairs:
            loose = (world.opening > world.extents(upper)[1] / 2 + 0.008
                     or not world.held(upper))
            if stacked(world, upper, lower) and loose:
                if np.linalg.norm(world.tcp - world.block(upper)) < 0.05:
                    return self._aim_leave(upper)
                continue
            for below in (upper, lower):
                above = self._on_top_of(below, but=upper)
                if above:
                    return self._aim_put(above, self._free_spot(above))
            place = world.block(lower)
            place[2] += (world.height(upper) + world.height(lower)) / 2
            return self._aim_put(upper, place)
        return self._aim_leave(task.blocks[0])

    def _on_top_of(self, below: str, but: str) -> str | None:
        """Return a block that lies on ``below`` and is not ``but``."""
        for name in BLOCKS:
            if name not in (below, but) and stacked(self._world, name, below):
                return name
        return None

    def _free_spot(self, name: str) -> np.ndarray:
        """Return the place on the table, float64[3] in m, that is farthest from other blocks."""
        others = np.array([self._world.block(b)[:2] for b in BLOCKS if b != name])
        spots = np.array([CENTRE + (x, y) for x in (-0.08, 0.08) for y in (-0.15, 0.0, 0.15)])
        gaps = np.linalg.norm(spots[:, None] - others[None], axis=-1).min(axis=1)
        return np.array([*spots[np.argmax(gaps)], self._world.height(name) / 2])

    # Skills: each maps the present state to an aim.

    def _aim_reach(self, block: str) -> Aim:
        return Aim(self._world.block(block) + (0, 0, REACH_HEIGHT), self._yaw_for(block), OPEN)

    def _aim_lift(self, block: str) -> Aim:
        world = self._world
        if not world.held(block):
            return self._aim_grasp(block)
        goal = world.block(block)
        return Aim(np.array([goal[0], goal[1], 0.16]), 0.0, CLOSE)

    def _aim_grasp(self, block: str) -> Aim:
        """Come from above, go down when aligned, close when the block is between the fingers."""
        world = self._world
        goal, yaw = world.block(block), self._yaw_for(block)
        offset = np.abs(world.tcp_rotation.T @ (goal - world.tcp))
        turn = float(np.linalg.norm(
            rotation_vector(facing_down(yaw), world.tcp_rotation)))
        # Fingers straighten a block that they meet a little askew; across its edges they jam.
        between = bool(np.all(offset < (0.014, 0.014, 0.012))) and turn < 0.2
        closing = world.opening < self._nearly and turn < 0.25
        if between or (closing and np.all(offset < (0.018, 0.02, 0.018))):
            return Aim(goal, yaw, CLOSE)
        away = np.linalg.norm((goal - world.tcp)[:2]) + 0.03 * max(0.0, turn - 0.1)
        away += max(0.0, self._open - world.opening)  # open before going down
        return Aim(self._funnel(goal, float(away)), yaw, OPEN)

    def _aim_put(self, block: str, place: np.ndarray) -> Aim:
        """Carry ``block`` above ``place`` float64[3], lower it, let go."""
        world = self._world
        if not world.held(block):
            return self._aim_grasp(block)
        now = world.block(block)
        grip = now - world.tcp
        away = float(np.linalg.norm((place - now)[:2]))
        gap = now[2] - place[2]
        low = gap < 0.004 or (gap < 0.015 and self._rests_on_block(block))
        fingers = OPEN if low and away < 0.010 else CLOSE
        return Aim(self._funnel(place, away, now) - grip, 0.0, fingers)

    def _aim_leave(self, block: str) -> Aim:
        """Open, then rise from a block that is where it should be."""
        world = self._world
        if world.opening < self._nearly:
            return Aim(world.tcp, self._yaw_now(), OPEN)
        return Aim(world.block(block) + (0, 0, 0.12), self._yaw_now(), OPEN)

    def _funnel(self, goal: np.ndarray, away: float, now: np.ndarray | None = None) -> np.ndarray:
        """Return a point float64[3] that leads to ``goal`` from above.

        ``away`` is the misalignment in m; ``now`` the point that is moved, the tcp by default.
        Far from the goal the point keeps to the hover height, and sideways motion waits for it.
        """
        now = self._world.tcp if now is None else now
        height = goal[2] + HOVER * _ramp(away, 0.008, 0.04)
        sideways = goal[:2] - now[:2]
        short = _ramp(height - now[2], 0.01, 0.05) * _ramp(away, 0.01, 0.02)
        return np.array([*(now[:2] + (1 - short) * sideways), height])

    def _rests_on_block(self, block: str) -> bool:
        """Whether a held block, or the hand below it, stands on another block."""
        touching = self._world.touching()
        return any({part, other} in touching for part in (block, 'hand')
                   for other in BLOCKS if other != block)

    def _yaw_for(self, block: str) -> float:
        """Return the yaw in rad that aligns the hand with a block, nearest to the hand's own."""
        _, narrow, wide = self._world.extents(block)
        # Fingers close on the narrower sides; a square offers two pairs of sides.
        turn = np.pi / 2 if narrow == wide else np.pi
        turns = self._world.block_yaw(block) + (np.pi / 2 + turn * np.arange(-5, 4))
        turns = turns[(turns > self._body.yaw[0]) & (turns < self._body.yaw[1])]
        cost = [abs(yaw - self._yaw_now()) + 2.0 * self._crowded(block, yaw) for yaw in turns]
        return float(turns[np.argmin(cost)])

    def _crowded(self, block: str, yaw: float) -> bool:
        """Whether a finger would land on another block."""
        world, here = self._world, self._world.block(block)
        for other in BLOCKS:
            x, y, z = np.abs(facing_down(yaw).T @ (world.block(other) - here))
            radius, rise = world.extents(other)[2] / 2, (world.height(other) + world.height(block))
            if other != block and x < 0.012 + radius and y < 0.055 + radius and z < rise / 2:
                return True
        return False

    def _yaw_now(self) -> float:
        """Return the hand's yaw in rad, told apart from a full turn more by the joints."""
        x = self._world.tcp_rotation[:, 0]
        yaw = np.arctan2(x[1], x[0])
        turned = self._world.joint_positions[self._world.arm] - self._home
        wound = self._twist @ turned
        return float(yaw + 2 * np.pi * np.round((wound - yaw) / (2 * np.pi)))


def _ramp(value: float, low: float, high: float) -> float:
    """Return 0 below ``low``, 1 above ``high``, and a smooth rise between."""
    x = float(np.clip((value - low) / (high - low), 0.0, 1.0))
    return x * x * (3 - 2 * x)
