"""An expert that plans: it tries out courses of action in copies of the physics.

At each decision it draws courses around the one it had in mind, runs them for a while with
mujoco.rollout, and takes their mean, weighted by what they earn (MPPI, Williams et al. 2017,
https://arxiv.org/abs/1707.02342). It begins from the present state each time, so it labels any
state; the draws are a function of the episode's seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
from mujoco import rollout

from gato_ros.domains.dm_control.environment import SuiteEnvironment
from gato_ros.domains.domain import Values
from gato_ros.spec import Observation

# (model, qpos[..., NQ], qvel[..., NV], control[..., U]) -> what a moment earns
Worth = Callable[[Any, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Plan:
    """How a task is planned.

    horizon  decisions ahead; courses  how many are tried; spread  their deviation, of the range
    greed    share of the deviation of what courses earn that counts as alike
    """

    worth: Worth
    horizon: int
    courses: int = 24
    rounds: int = 1
    spread: float = 0.6
    greed: float = 0.1


class Planner:
    """The expert of one episode."""

    def __init__(self, world: SuiteEnvironment, plan: Plan, rng: np.random.Generator) -> None:
        self._world, self._plan, self._rng = world, plan, rng
        self._model = world.physics.model.ptr
        self._data = mujoco.MjData(self._model)
        self._course = np.zeros((plan.horizon, self._model.nu))

    def act(self, observation: Observation) -> Values:
        plan, model, steps = self._plan, self._model, self._world.decision
        size = mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_FULLPHYSICS)
        state = np.zeros(size)
        mujoco.mj_getState(model, self._world.physics.data.ptr, state,
                           mujoco.mjtState.mjSTATE_FULLPHYSICS)
        states = np.repeat(state[None], plan.courses, 0)
        course = np.concatenate([self._course[1:], self._course[-1:]])
        for _ in range(plan.rounds):
            noise = self._rng.standard_normal((plan.courses, *course.shape))
            noise[1::2] = np.cumsum(noise[1::2], 1) / 2  # half of them drift, half tremble
            noise[::4] *= 0.3
            noise[0] = 0
            tried = np.clip(course + plan.spread * noise, -1, 1)
            after, _ = rollout.rollout(model, self._data, states, np.repeat(tried, steps, 1))
            after = after[:, steps - 1::steps, 1:]
            earned = plan.worth(model, after[..., :model.nq],
                                after[..., model.nq:model.nq + model.nv], tried).mean(1)
            earned = np.where(np.isfinite(earned), earned, -1e9)
            weights = np.exp((earned - earned.max()) / (plan.greed * earned.std() + 1e-9))
            course = np.einsum('n,nhu->hu', weights / weights.sum(), tried)
        self._course = course
        return {'control': course[0].copy()}


def _acrobot(model: Any, q: np.ndarray, v: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Both of the suite's rewards; on the way there, the energy of standing still on top.

    Two links of 1 kg and 1 m. An elbow that spins would have that energy, too, hence the last
    term.
    """
    upper, lower = q[..., 0], q[..., 0] + q[..., 1]
    x, z = np.sin(upper) + np.sin(lower), np.cos(upper) + np.cos(lower)
    away = np.maximum(np.hypot(x, 2 - z) - 0.2, 0)
    first, second = v[..., 0], v[..., 0] + v[..., 1]
    inertia = 0.085  # kg m^2, of a link about its centre
    moving = ((1.25 + inertia) * first ** 2 + (0.25 + inertia) * second ** 2
              + first * second * np.cos(upper - lower)) / 2
    energy = moving + 9.81 * (1.5 * np.cos(upper) + 0.5 * np.cos(lower))
    return (np.exp(-2.303 * away ** 2) + (away == 0) + 0.1 * z
            - 0.05 * np.abs(energy - 9.81 * 2) - 0.15 * np.maximum(np.abs(v[..., 1]) - 8, 0))


def _turned(q: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return how far the spinner's tip is from the target, rad."""
    away = q[..., 2] - target
    return np.abs((away + np.pi) % (2 * np.pi) - np.pi)


def _finger_turn(model: Any, q: np.ndarray, v: np.ndarray, u: np.ndarray) -> np.ndarray:
    site = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_SITE, 'target')
    x, z = model.site_pos[site][[0, 2]] - [0.2, 0.4]
    away = _turned(q, np.arctan2(-x, z))
    room = model.site_size[site, 0] / 0.13
    return (away < 0.9 * room) + 0.5 * (1 - away / np.pi) - 0.01 * np.abs(v[..., 2])


def _fish_upright(model: Any, q: np.ndarray, v: np.ndarray, u: np.ndarray) -> np.ndarray:
    up = 1 - 2 * (q[..., 4] ** 2 + q[..., 5] ** 2)
    return np.exp(-2.303 * (1 - up) ** 2) + 0.05 * up


def _fish_swim(model: Any, q: np.ndarray, v: np.ndarray, u: np.ndarray) -> np.ndarray:
    """The suite's reward, and the way that is left; the mouth lies ahead along the fish's y."""
    w, x, y, z = (q[..., index] for index in range(3, 7))
    ahead = np.stack([2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)], -1)
    mouth, target = (mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_GEOM, name)
                     for name in ('mouth', 'target'))
    place = q[..., :3] + model.geom_pos[mouth, 1] * ahead
    away = np.linalg.norm(place - model.geom_pos[target], axis=-1)
    near = model.geom_size[mouth, 0] + model.geom_size[target, 0]
    reached = np.exp(-2.303 * (np.maximum(away - near, 0) / (2 * near)) ** 2)
    return (7 * reached + 1 - x * x - y * y) / 8 - 0.5 * away


_ACROBOT = Plan(_acrobot, horizon=40, courses=24, greed=0.05)
_FINGER = Plan(_finger_turn, horizon=12, courses=24, spread=1.0)
PLANS = {
    'acrobot-swingup': _ACROBOT,
    'acrobot-swingup_sparse': _ACROBOT,
    'finger-turn_easy': _FINGER,
    'finger-turn_hard': _FINGER,
    'fish-upright': Plan(_fish_upright, horizon=3, courses=8),
    'fish-swim': Plan(_fish_swim, horizon=8, courses=24, spread=0.8, greed=0.05),
}
