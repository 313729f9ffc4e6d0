"""Whether values can be this robot's at all: degrees for rad, another robot's joints."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gato_ros.robot import POSITIONS, VELOCITIES, RobotSpec

OUTSIDE = 0.05  # of the steps may lie outside, as after an overshoot
BEYOND = {POSITIONS: 0.1, VELOCITIES: 0.5}  # of a range; a measured speed is noisy
COMMANDS = 0.1  # of a command's


def range_fault(robot: RobotSpec, rows: Mapping[str, np.ndarray]) -> str:
    """Return why values are not the robot's, '' when they may be.

    rows  field -> float64[T, n]
    """
    spec = robot.timestep()
    for field in (*spec.continuous, *spec.continuous_actions):
        low, high = np.array(field.low), np.array(field.high)
        if field.name == robot.command_field and robot.interface == 'effort':
            high = np.array([joint.effort for joint in robot.joints])  # what is sent may be damped
            low = -high
        slack = BEYOND.get(field.name, COMMANDS) * (high - low)
        values = rows[field.name]
        outside = (values < low - slack) | (values > high + slack)
        share = outside.mean(axis=0)
        worst = int(share.argmax())
        if share[worst] <= OUTSIDE:
            continue
        example = float(values[outside[:, worst], worst][0])
        unit = field.units[worst]
        turned = np.deg2rad(example)
        degrees = unit.startswith('rad') and abs(example) > 3 and (
            low[worst] - slack[worst] <= turned <= high[worst] + slack[worst])
        return (f'{field.name} of {field.names[worst]} is {example:.4g} and alike in '
                f'{100 * share[worst]:.0f} % of the steps, expected {low[worst]:g} to '
                f'{high[worst]:g} {unit} (its limits in the YAML file of robot {robot.name!r})'
                + ('; these look like degrees, which must be turned into rad' if degrees else ''))
    return ''
