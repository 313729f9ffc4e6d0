"""The gate's own damping takes energy from an arm and never gives it any."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from damped_arm import Life, Loop, check, live, nominal

from gato_ros.config import ConfigError
from gato_ros.robot import RobotSpec, load_robot
from gato_ros.safety import Joints
from gato_ros.safety.guard import Guard, GuardSettings

# A KUKA with damping 10 on every joint: it drove itself to 28.8 Nm and 24 rad/s, unasked.
RUNAWAY = Path(__file__).parent / 'cases' / 'iiwa14_runaway.yaml'
INERTIA = np.array([1.0, 1.0, 0.5, 0.5, 0.05, 0.05, 0.02, 0.1])  # kg m2, of its joints
TICK_S = 0.005


def damped(robot: RobotSpec, damping: np.ndarray, inertia: np.ndarray) -> RobotSpec:
    return dataclasses.replace(robot, joints=tuple(
        dataclasses.replace(j, damping=float(d), inertia=float(i))
        for j, d, i in zip(robot.joints, damping, inertia, strict=True)))


def nudged(robot: RobotSpec, inertia: np.ndarray, speed: float, **loop: float) -> Life:
    """Push the joints of the arm, with the gate at 200 Hz and joint states at 100 Hz."""
    nudge = np.full(len(robot.joints), speed)
    nudge[7] = 0.0  # the gripper's
    places = np.array([sum(j.position) / 2 for j in robot.joints])
    return live(Guard(robot, GuardSettings(tick_s=TICK_S)),
                Loop(np.diag(inertia), 0.01, TICK_S, **loop), nudge, places, 6.0)


def test_a_damping_that_would_drive_the_arm_is_refused_in_a_sentence() -> None:
    with pytest.raises(ConfigError, match=r"joint 'joint1': damping 10 by the gate is not stable "
                       r'with the 0.216 kg m2 .* expected at most 0\.3'):
        Guard(load_robot(RUNAWAY), GuardSettings())


@pytest.mark.parametrize('known', [True, False])
def test_the_same_arm_with_what_is_taken_comes_to_rest(known: bool) -> None:
    robot = load_robot(RUNAWAY)
    inertia = INERTIA if known else np.zeros(8)
    free = damped(robot, np.zeros(8), inertia)
    largest = Guard(free, GuardSettings(tick_s=TICK_S)).gate.damper.largest
    life = nudged(damped(robot, largest, inertia), INERTIA, 0.05, seen_late_s=0.01,
                  done_late_s=0.01)
    assert life.energy.max() == life.energy[0] and life.energy[-1] < 0.6 * life.energy[0]
    assert np.abs(life.torque).max() < 0.1 and not life.shakes()


def test_the_bound_by_hand() -> None:
    """A tenth of 0.195 kg m2 over 0.025 + 0.005 + 0.02 s of delay; slew is fast, nearly none."""
    robot = load_robot('fr3')
    fast = dataclasses.replace(robot, joints=tuple(
        dataclasses.replace(j, slew=1e9) for j in robot.joints))
    largest = Guard(fast, GuardSettings(tick_s=TICK_S)).gate.damper.largest
    assert largest[0] == pytest.approx(0.0195 / 0.05, rel=1e-3)
    slow = dataclasses.replace(robot, damping_delay_s=0.2)
    with pytest.raises(ConfigError, match='damping_delay_s'):
        Guard(slow, GuardSettings(tick_s=TICK_S))


@pytest.mark.parametrize('name', ['fr3', 'franka_panda'])
@pytest.mark.parametrize('share', [0.1, 1.0, 10.0])
def test_the_shipped_arms_are_stable_whatever_they_weigh(name: str, share: float) -> None:
    life = nudged(load_robot(name), share * np.array(
        [0.1, 0.4, 0.1, 0.1, 0.02, 0.02, 0.004, 0.1]), 2.0, done_late_s=0.02)
    assert life.energy.max() == life.energy[0] and not life.shakes()


def test_damping_that_feeds_the_arm_all_the_same_is_given_up_for_good() -> None:
    """An arm of a hundredth of the inertia that its YAML file claims."""
    robot = damped(load_robot(RUNAWAY), np.full(8, 2.0), np.full(8, 2.0))
    nudge = np.full(8, 0.05)
    guard = Guard(robot, GuardSettings(tick_s=TICK_S))
    places = np.array([sum(j.position) / 2 for j in robot.joints])
    life = live(guard, Loop(np.diag(np.full(8, 0.02)), 0.01, TICK_S, done_late_s=0.01), nudge,
                places)
    assert "the gate's own damping feeds its motion" in life.problem
    assert (life.torque[-1000:] == 0).all() and not life.shakes()
    guard.machine.look(life.problem)
    assert 'expected ready' in guard.enable(103.0)


def test_an_arm_that_a_policy_moves_is_not_taken_for_one_that_shakes() -> None:
    robot = load_robot('fr3')
    guard, inertia = Guard(robot, GuardSettings(tick_s=TICK_S)), 4 * nominal(robot)
    place = np.array([sum(j.position) / 2 for j in robot.joints])
    place[:7] = [0.0, -0.3, 0.0, -2.2, 0.0, 2.0, 0.8]
    speed, rng, effort = np.zeros(8), np.random.default_rng(0), np.zeros(8)
    for step in range(2000):
        now = 100.0 + step * TICK_S
        if step % 2 == 0:
            guard.observe(Joints(place.copy(), speed.copy()), round(now * 1e9), now)
        if step % 4 == 0:
            guard.beat('', {}, now)
        if step % 10 == 0:
            effort = rng.normal(0.0, 0.5, 8) * robot.scale / 10 - 2 * speed
            guard.propose(effort, round(now * 1e9), now)
        if step == 20:
            assert guard.enable(now) == ''
        command = guard.tick(now)
        speed = speed + TICK_S * command.effort / inertia
        place = place + TICK_S * speed
        assert not guard.gate.damper.problem


@pytest.mark.parametrize('seed', range(4))
def test_no_accepted_setting_lets_an_arm_of_a_tenth_to_ten_times_its_inertia_shake(seed: int
                                                                                  ) -> None:
    assert check(seed) == 10
