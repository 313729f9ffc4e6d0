"""The scripted person, before a page or a terminal: what they see comes over topics."""

from __future__ import annotations

from gato_ros.domains.stacking.env import StackingEnv
from gato_ros.domains.stacking.person import Plan
from gato_ros.domains.stacking.tasks import load_task
from gato_ros.robot import load_robot

PATIENCE = 40  # looks, which are quicker than the robot's period


def plan_of(seed: int, near_m: float = 0.004, near_rad: float = 0.05,
            task: str = 'stack_wide') -> Plan:
    """Return the plan of a person who has seen where the blocks of a seed's scene lie."""
    env = StackingEnv(load_robot('panda_sim'), load_task(task), render=False)
    env.reset(seed)
    return Plan(env, near_m, near_rad, PATIENCE)
