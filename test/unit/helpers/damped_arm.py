"""Arms that a whole gate damps, with all delays of the loop: does the gate ever feed one?

    python test/unit/helpers/damped_arm.py 1000  # so many settings, each on ten arms; all cores

An arm's inertia is a tenth to ten times what the gate was told, its joints drag each other along,
its driver and controller take up to 20 ms, its joint states come at 50 to 1,000 Hz.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np

from gato_ros.config import ConfigError
from gato_ros.robot import RobotSpec, load_robot
from gato_ros.safety import Joints
from gato_ros.safety.guard import Guard, GuardSettings

STEP_S = 5e-4  # of the physics
ARMS, SECONDS = 10, 3.0


@dataclass(frozen=True)
class Loop:
    """An arm and what lies around the gate.

    inertia       float64[N, N], kg m2
    report_s      between two joint states;  tick_s  between two commands
    seen_late_s, done_late_s  delays of the driver and of the controller
    """

    inertia: np.ndarray
    report_s: float
    tick_s: float
    seen_late_s: float = 0.0
    done_late_s: float = 0.0


@dataclass(frozen=True)
class Life:
    """Of an arm that was nudged: energy float64[T], J; torque and speed float64[T, N]."""

    energy: np.ndarray
    torque: np.ndarray
    speed: np.ndarray
    problem: str

    def shakes(self) -> bool:
        """Whether a joint swings on in the last second as it did in the one before."""
        last = round(1.0 / STEP_S)
        late, before = self.speed[-last:], self.speed[-2 * last:-last]
        turns = (np.diff(np.sign(late), axis=0) != 0).sum(axis=0)
        swings = np.ptp(late, axis=0) > 0.9 * np.ptp(before, axis=0)
        return bool(((turns > 3) & swings & (np.abs(late).max(axis=0) > 1e-3)).any())


def live(guard: Guard, loop: Loop, nudge: np.ndarray, places: np.ndarray,
         seconds: float = SECONDS) -> Life:
    """Nudge an arm at rest to speeds float64[N] and let the gate do what it does."""
    steps, inverse = round(seconds / STEP_S), np.linalg.inv(loop.inertia)
    place, speed, torque = places.copy(), nudge.copy(), np.zeros(len(nudge))
    seen: list[tuple[float, Joints]] = []  # on their way to the gate
    sent: list[tuple[float, np.ndarray]] = []  # on their way to the arm
    due_report = due_tick = 0.0
    energy, torques = np.empty(steps), np.empty((steps, len(nudge)))
    speeds = np.empty((steps, len(nudge)))
    for step in range(steps):
        now = step * STEP_S
        if now >= due_report:
            due_report += loop.report_s
            seen.append((now + loop.seen_late_s, Joints(place.copy(), speed.copy())))
        while seen and seen[0][0] <= now:
            guard.observe(seen.pop(0)[1], round((100 + now) * 1e9), 100.0 + now)
        if now >= due_tick:
            due_tick += loop.tick_s
            command = guard.tick(100.0 + now)
            sent.append((now + loop.done_late_s, command.effort))
        while sent and sent[0][0] <= now:
            torque = sent.pop(0)[1]
        energy[step] = speed @ loop.inertia @ speed / 2
        torques[step], speeds[step] = torque, speed
        speed = speed + STEP_S * (inverse @ torque)
        place = place + STEP_S * speed
    return Life(energy, torques, speeds, guard.problem(100.0 + seconds))


def nominal(robot: RobotSpec) -> np.ndarray:
    """Return float64[N]: the inertia that the gate counts on, where none is given."""
    return np.array([j.inertia or 1e-3 * j.effort / j.velocity for j in robot.joints])


def accepted(rng: np.random.Generator) -> tuple[RobotSpec, GuardSettings]:
    """Draw damping, rates and delays until the configuration takes them."""
    robot, known = load_robot('fr3'), rng.random() < 0.5
    settings = GuardSettings(tick_s=1.0 / rng.uniform(50, 500),
                             stop=('ramp', 'hold')[rng.integers(2)])
    robot = dataclasses.replace(
        robot, workspace=None, joint_states_max_age_s=rng.uniform(0.02, 0.8), joints=tuple(
            dataclasses.replace(j, damping=0.0, slew=j.slew * 10 ** rng.uniform(-1, 0.5),
                                inertia=10 ** rng.uniform(-2, 1) if known else 0.0)
            for j in robot.joints))
    largest = Guard(robot, settings).gate.damper.largest
    while True:
        try:
            robot = dataclasses.replace(robot, joints=tuple(
                dataclasses.replace(j, damping=float(b) * 10 ** rng.uniform(-1.0, 0.05))
                for j, b in zip(robot.joints, largest, strict=True)))
            Guard(robot, settings)
            return robot, settings
        except ConfigError:
            continue


def check(seed: int) -> int:
    """Try one setting on ten arms; AssertionError names what was seen. Returns how many."""
    rng = np.random.default_rng(seed)
    robot, settings = accepted(rng)
    n = len(robot.joints)
    places = np.array([sum(j.position) / 2 for j in robot.joints])
    for arm in range(ARMS):
        base = nominal(robot) * 10 ** np.linspace(-1, 1, ARMS)[arm]
        drag = rng.normal(0.0, 1.0, (n, n)) * rng.uniform(0.0, 0.3)
        root = np.sqrt(base)
        inertia = np.diag(base) + root[:, None] * (drag @ drag.T) * root
        late = rng.uniform(0.0, 0.02)
        early = rng.uniform(0.0, late)
        loop = Loop(inertia, 1.0 / 10 ** rng.uniform(np.log10(50), 3), settings.tick_s, early,
                    late - early)
        nudge = rng.uniform(-1, 1, n) * np.array([j.velocity for j in robot.joints]) * (
            10 ** rng.uniform(-2, -0.1))
        life = live(Guard(robot, settings), loop, nudge, places)
        grown = life.energy.max() / life.energy[0]
        assert grown <= 1.0 + 1e-9 and not life.shakes(), (
            f'seed {seed}, arm {arm}: energy x{grown:.3f}, shakes: {life.shakes()}; {loop}; '
            f'{[j.damping for j in robot.joints]} {life.problem}')
    return ARMS


def main() -> None:
    settings = int(sys.argv[1])
    done = 0
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for arms in pool.map(check, range(settings), chunksize=4):
            done += arms
            print(f'\r{done} arms', end='', file=sys.stderr, flush=True)
    print(f'\n{settings} settings on {ARMS} arms each: energy never grew, none shook')


if __name__ == '__main__':
    main()
