"""Random lives of a guard: anything may arrive at any time, and the wire must stay in its limits.

    python test/unit/helpers/fuzz_guard.py 10000000  # prints how many steps were in which state
    python test/unit/helpers/fuzz_guard.py 5000000 100    # the second half of it

Takes every robot of config/robots in turn, and one through the interface position; all cores.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from gato_ros.config import data_path
from gato_ros.robot import RobotSpec, load_robot
from gato_ros.safety import Joints
from gato_ros.safety.guard import Guard, GuardSettings
from gato_ros.safety.machine import State

BAD = np.array([np.nan, np.inf, -np.inf, 1e308, -1e308, 1e9, 5e-324])
POSITION = 'position'
PART, LIFE = 50_000, 2000  # steps of a process's task, and of a guard


def robot_named(name: str) -> RobotSpec:
    """Return a robot; ``position``: the UR5e through that interface, at its joints' speeds."""
    if name != POSITION:
        return load_robot(name)
    robot = load_robot('ur5e')
    return dataclasses.replace(robot, interface=POSITION, workspace=None, joints=tuple(
        dataclasses.replace(j, slew=j.velocity) for j in robot.joints))


class Fuzzer:
    """Drives one guard after another by a seed; ``visited`` counts ticks by state.

    Raises AssertionError for a value on the wire that is not finite, over its limit or over slew.
    """

    def __init__(self, robot: str = 'panda_sim', seed: int = 0) -> None:
        self.robot, self._rng = robot_named(robot), np.random.default_rng(seed)
        self.visited: Counter[State] = Counter()
        joints = self.robot.joints
        self._slew = np.array([j.slew for j in joints])
        self._low, self._high = self.robot.command_low, self.robot.command_high
        self._middle = np.array([sum(j.position) / 2 for j in joints])
        self._range = np.array([j.position[1] - j.position[0] for j in joints])
        self._speed = np.array([j.velocity for j in joints])

    def run(self, steps: int) -> None:
        """Pass ``steps`` ticks, with a new guard every two thousand."""
        for start in range(0, steps, LIFE):
            self._live(min(LIFE, steps - start))

    def _place(self, guard: Guard) -> np.ndarray:
        """Return float64[N]: positions from which the arm may move."""
        while True:
            place = self._middle + self._rng.uniform(-0.4, 0.4, len(self._middle)) * self._range
            workspace = guard.gate.workspace
            if not (workspace.bounded and workspace.outside(place)):
                return place

    def _live(self, steps: int) -> None:
        rng = self._rng
        guard = Guard(self.robot, GuardSettings(
            stop=('ramp', 'hold')[rng.integers(2)], blend=float(rng.choice([1.0, 1.0, 0.3]))))
        now_s, wildness = 10.0, rng.choice([0.0, 0.001, 0.005, 0.02])
        sent: list[tuple[np.ndarray, float, np.ndarray, bool]] = []
        draws = rng.random((steps, 9))
        scale = rng.choice([0.3, 3.0])
        home = place = self._place(guard)
        speed = np.zeros(len(place))
        for index in range(steps):
            draw = draws[index]
            wild = draw[0] < wildness
            now_s += 0.005 if draw[1] > wildness / 8 else float(rng.choice([0.0, 0.04, 0.3, 2.0]))
            stamp_ns = round(now_s * 1e9)
            if wild and draw[8] < 0.1:
                stamp_ns += int(rng.choice([10**9, -10**9, 3600 * 10**9]))
            if index % 2 == 0 and draw[2] > wildness:
                if draw[3] < 0.2:  # it strays, and now and then too far
                    place = place + rng.normal(0.0, 0.002, len(place)) * self._range
                    place += 0.005 * (home - place)
                drawn = rng.normal(0.0, 0.2 + 10 * wildness * draw[4]) * self._speed
                if guard.gate.damper is None:
                    speed = drawn
                else:  # one that the gate damps has inertia, and goes where its speed says
                    speed = 0.98 * speed + 0.2 * drawn
                    place = place + 0.01 * speed + 0.02 * (home - place)
                guard.observe(Joints(place, speed), stamp_ns, now_s)
            if index % 4 == 0 and draw[5] > wildness:
                guard.beat('', {}, now_s)
            waiting = guard.state is not State.ENABLED
            if index % 10 == 0 and draw[6] > wildness:
                effort = rng.normal(0.0, scale, len(place)) * self._high
                if wild:
                    effort[rng.integers(len(effort))] = rng.choice(BAD)
                    effort = effort[:rng.integers(len(effort) + 1)] if draw[7] < 0.3 else effort
                answer = guard.propose(effort, stamp_ns, now_s)
                if not answer.refused:
                    sent.append((answer.effort, now_s, place, False))
            if draw[7] < (0.1 if waiting else 0.005):
                request = (guard.clear, guard.enable) if waiting else (guard.stop, guard.enable)
                request[rng.integers(2)](now_s)
            command = guard.tick(now_s)
            if command is not None:
                sent.append((command.effort, now_s, place, waiting))
            self.visited[guard.state] += 1
        self._check(sent)

    def _check(self, sent: list[tuple[np.ndarray, float, np.ndarray, bool]]) -> None:
        """Judge all that was sent: (value, time in s, where the joints were, was it waiting)."""
        values, times, places, waiting = (np.array(column) for column in zip(*sent, strict=True))
        assert np.isfinite(values).all(), values
        assert ((values >= self._low) & (values <= self._high)).all(), values
        if self.robot.interface == POSITION:  # one that waits may start anew from its place
            begin = values[:1], times[:1]
            anew = waiting[:, None] & (np.abs(values - places) <= self._slew * 0.05 + 1e-9)
        else:
            begin = np.zeros((1, values.shape[1])), np.array([10.0])
            anew = np.zeros(values.shape, bool)
        steps = np.abs(np.diff(values, axis=0, prepend=begin[0]))
        may = self._slew * np.diff(times, prepend=begin[1])[:, None] + 1e-9
        wrong = ~((steps <= may) | anew).all(axis=1)
        assert not wrong.any(), (values[wrong], steps[wrong], may[wrong])


def part(robot: str, seed: int, steps: int) -> Counter[State]:
    """Return the states visited in one part."""
    fuzzer = Fuzzer(robot, seed)
    fuzzer.run(steps)
    return fuzzer.visited


def main() -> None:
    steps, first = int(sys.argv[1]), int(sys.argv[2]) if sys.argv[2:] else 0
    robots = [path.stem for path in sorted(data_path('config', 'robots').glob('*.yaml'))]
    robots.append(POSITION)
    parts = [(robots[seed % len(robots)], seed, min(PART, steps - start))
             for seed, start in enumerate(range(0, steps, PART), first)]
    visited: dict[str, Counter[State]] = {name: Counter() for name in robots}
    done = 0
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for (name, _, count), states in zip(parts, pool.map(part, *zip(*parts, strict=True)),
                                            strict=True):
            visited[name] += states
            done += count
            print(f'\r{done} steps', end='', file=sys.stderr, flush=True)
    for name, states in visited.items():
        print(f'{name}: {sum(states.values())} steps,',
              {state.value: count for state, count in states.items()})
    print(f'{steps} steps, none out of its limits')


if __name__ == '__main__':
    main()
