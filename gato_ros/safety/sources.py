"""Is a source alive, and can its stamps be right? Steady arrival times against its stamps."""

from __future__ import annotations

JUMP_S = 0.25  # a stamp may run so far ahead of the steady clock from one message to the next
BACK_S = 2.0  # for so long a jump of stamps is a problem, so that a report at 1 Hz shows it


class Source:
    """One source of messages.

    max_age_s   since the arrival of the newest message that brought a new stamp
    disorder_s  a message whose stamp is older than the newest by less has been overtaken, no more
    duplicates  messages so far whose stamp had come before
    """

    def __init__(self, name: str, max_age_s: float, limit_set_in: str,
                 disorder_s: float = 0.0) -> None:
        self.name, self.max_age_s, self._set_in = name, max_age_s, limit_set_in
        self._disorder_ns = round(disorder_s * 1e9)
        self.duplicates = 0
        self.stamp_ns: int | None = None
        self._new_s = -float('inf')  # steady arrival of the newest stamp
        self._jump, self._jump_s = '', -float('inf')

    def overtaken(self, stamp_ns: int) -> bool:
        """Whether a message with this stamp comes behind a newer one of the same time."""
        return self.stamp_ns is not None and 0 < self.stamp_ns - stamp_ns < self._disorder_ns

    def arrived(self, stamp_ns: int, now_s: float) -> str:
        """Note a message; return a sentence when its stamp cannot be right, otherwise ''."""
        jump = ''
        if self.overtaken(stamp_ns):
            return ''
        if self.stamp_ns is not None:
            step_s = (stamp_ns - self.stamp_ns) * 1e-9
            if step_s == 0.0:
                self.duplicates += 1
                return ''
            if step_s < 0.0:
                jump = f'{self.name}: the stamps jump back by {-step_s:.3f} s'
            elif step_s > now_s - self._new_s + JUMP_S:
                jump = (f'{self.name}: the stamps jump ahead by {step_s:.3f} s within '
                        f'{now_s - self._new_s:.3f} s')
        if jump:
            self._jump, self._jump_s = jump, now_s
        self.stamp_ns, self._new_s = stamp_ns, now_s
        return jump

    def age_s(self, now_s: float) -> float:
        """Return seconds since a new stamp came; infinite before the first."""
        return now_s - self._new_s

    def problem(self, now_s: float) -> str:
        """Return a sentence when the source is too old or has just jumped, otherwise ''."""
        age = self.age_s(now_s)
        if age == float('inf'):
            return f'{self.name}: nothing has arrived'
        if age > self.max_age_s:
            return (f'{self.name}: nothing new for {age:.3f} s, expected within '
                    f'{self.max_age_s:g} s ({self._set_in})')
        return self._jump if now_s - self._jump_s < BACK_S else ''
