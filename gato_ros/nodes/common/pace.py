"""When a step may start: never before a new observation, never faster than the control rate."""

from __future__ import annotations

EARLY = 0.9  # of a period on the robot's clock: as good as a whole one, cameras jitter


class Pace:
    """Absolute deadlines on the steady clock for sources that are faster than the control rate.

    An observation that lies a control period behind the last one is answered at once, for then
    the source itself sets the pace. Faster sources wait for the deadline.
    """

    def __init__(self, rate_hz: float) -> None:
        self._period_s = 1.0 / rate_hz
        self.restart()

    def restart(self) -> None:
        """Forget the former step, as after a reset of the robot's clock."""
        self._due_s = -float('inf')
        self._stamp_ns: int | None = None

    def wait_s(self, stamp_ns: int, now_s: float) -> float:
        """Return how long an observation with this stamp must wait, 0 when it may start."""
        if self._gap(stamp_ns) >= EARLY:
            return 0.0
        return max(0.0, self._due_s - now_s)

    def start(self, stamp_ns: int, now_s: float) -> int:
        """Note that a step starts; return how many whole control periods were left out."""
        first = self._stamp_ns is None
        skipped = 0 if first else max(0, round(self._gap(stamp_ns)) - 1)
        due = now_s if first else self._due_s
        late = int(max(0.0, now_s - due) / self._period_s)  # whole periods: no burst afterwards
        self._due_s = due + (late + 1) * self._period_s
        self._stamp_ns = stamp_ns
        return skipped

    def _gap(self, stamp_ns: int) -> float:
        """Control periods between the last observation and this one."""
        if self._stamp_ns is None:
            return float('inf')
        return (stamp_ns - self._stamp_ns) * 1e-9 / self._period_s
