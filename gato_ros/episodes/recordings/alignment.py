"""Which messages make one timestep, by their stamps alone, and how far apart those lie."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gato_ros.robot import RobotSpec

LATE_SHARE = 0.05  # of an episode's steps may be above the robot's max_skew_s


@dataclass(frozen=True)
class Step:
    """Stamps in ns of one timestep: a picture of each camera, by its name, and a joint state."""

    images: Mapping[str, int]
    joints: int

    @property
    def skew_s(self) -> float:
        """Time between its oldest and its newest message."""
        stamps = (*self.images.values(), self.joints)
        return (max(stamps) - min(stamps)) * 1e-9


class Alignment:
    """Finds timesteps; ``images`` (camera -> stamps) and ``joints`` are stamps that rise, ns."""

    def __init__(self, robot: RobotSpec, images: Mapping[str, Sequence[int]],
                 joints: Sequence[int]) -> None:
        self._robot, self._images, self._joints = robot, images, joints

    def at(self, stamp: int) -> Step:
        """Return the pictures of this stamp and the joint state of this stamp or before it.

        A camera that shuts at other moments gives its first picture after the stamp, within half a
        period: later ones belong to the next observation. Raises LookupError, with a sentence, for
        a message that is missing.
        """
        images = {}
        half_s = 0.5 / self._robot.rate_hz
        for camera in self._robot.cameras:
            stamps = self._images[camera.name]
            place = bisect_left(stamps, stamp)
            if place == len(stamps) or stamps[place] - stamp > half_s * 1e9:
                raise LookupError(f'{camera.topic} has no picture of {seconds(stamp)} or up to '
                                  f"{half_s:g} s later (half a period of rate_hz in the robot's "
                                  'YAML file)')
            images[camera.name] = stamps[place]
        if min(images.values(), default=stamp) != stamp:
            raise LookupError(f'no picture is stamped {seconds(stamp)}')
        place = bisect_right(self._joints, stamp) - 1
        limit_s = self._robot.joint_states_max_age_s
        if place < 0 or stamp - self._joints[place] > limit_s * 1e9:
            raise LookupError(f'{self._robot.joint_states_topic} has nothing of '
                              f'{seconds(stamp)} or up to {limit_s} s before '
                              "(joint_states_max_age_s in the robot's YAML file)")
        return Step(images, self._joints[place])


@dataclass(frozen=True)
class Skew:
    """Of an episode's steps, seconds; ``late`` is the share above the robot's max_skew_s."""

    p50_s: float = 0.0
    p95_s: float = 0.0
    max_s: float = 0.0
    late: float = 0.0

    @classmethod
    def of(cls, steps_s: Sequence[float], robot: RobotSpec) -> Skew:
        """Return the figures of the skews of all steps."""
        if not steps_s:
            return cls()
        values = np.array(steps_s)
        p50_s, p95_s = (float(np.percentile(values, share)) for share in (50, 95))
        return cls(p50_s, p95_s, float(values.max()),
                   float((values > robot.max_skew_s + 1e-9).mean()))

    def refusal(self, robot: RobotSpec) -> str:
        """Return why such an episode is no training data, or ''."""
        if self.late <= LATE_SHARE:
            return ''
        return (f'in {100 * self.late:.0f} % of the steps pictures and joint state lie more than '
                f'{robot.max_skew_s:g} s apart (p95 {self.p95_s:.3f} s, max {self.max_s:.3f} s), '
                f'expected at most {100 * LATE_SHARE:.0f} % (max_skew_s in the YAML file of robot '
                f'{robot.name!r})')


def seconds(stamp_ns: int) -> str:
    """Return a stamp for people."""
    return f'{stamp_ns * 1e-9:.3f} s'
