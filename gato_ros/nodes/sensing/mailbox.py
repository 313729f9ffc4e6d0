"""The newest message of one source, with its stamp and the moment of its arrival."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar('T')


class Stale(Exception):
    """Nothing usable has arrived; the sentence names the source, the age and the limit."""


@dataclass(frozen=True)
class Letter(Generic[T]):
    """One message.

    stamp_ns   capture time on the robot's clock, nanoseconds
    arrived_s  time of arrival on this process's steady clock, seconds
    """

    value: T
    stamp_ns: int
    arrived_s: float


class Mailbox(Generic[T]):
    """One slot, thread-safe; ``history`` former messages can still be found by their stamp.

    limit_set_in  where the age limit comes from, for the sentence that refuses an old message
    disorder_s    a stamp that is older than the newest by less takes its place in the order
    """

    def __init__(self, source: str, max_age_s: float, history: int = 0,
                 limit_set_in: str = "max_age_s in the robot's YAML file",
                 disorder_s: float = 0.0) -> None:
        self.source = source
        self.max_age_s = max_age_s
        self._limit_set_in = limit_set_in
        self._disorder_ns = round(disorder_s * 1e9)
        self._letters: deque[Letter[T]] = deque(maxlen=history + 1)
        self._lock = threading.Lock()

    def put(self, value: T, stamp_ns: int) -> bool:
        """Store a message; true when its stamp lies far before the newest: time began anew.

        What came before such a jump belongs to another time and is forgotten.
        """
        letter = Letter(value, stamp_ns, time.monotonic())
        with self._lock:
            ahead_ns = self._letters[-1].stamp_ns - stamp_ns if self._letters else 0
            back = ahead_ns > 0 and ahead_ns >= self._disorder_ns
            if back:
                self._letters.clear()
            newer = []  # that have overtaken it
            while self._letters and self._letters[-1].stamp_ns > stamp_ns:
                newer.append(self._letters.pop())
            self._letters.extend((letter, *reversed(newer)))
        return back

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._letters.clear()

    def newest(self) -> Letter[T] | None:
        """Return the newest message of whatever age, or None."""
        with self._lock:
            return self._letters[-1] if self._letters else None

    def at(self, stamp_ns: int) -> Letter[T] | None:
        """Return the message with exactly this stamp if it is still kept, or None."""
        with self._lock:
            return next((m for m in reversed(self._letters) if m.stamp_ns == stamp_ns), None)

    def wait_at(self, stamp_ns: int, timeout_s: float) -> Letter[T] | None:
        """Wait for the message with exactly this stamp, at most so long; None if it stays away."""
        deadline = time.monotonic() + timeout_s
        while (letter := self.at(stamp_ns)) is None and time.monotonic() < deadline:
            time.sleep(0.001)
        return letter

    def fresh(self, now_s: float | None = None) -> Letter[T]:
        """Return the newest message.

        Raises Stale when there is none or when it arrived more than ``max_age_s`` ago.
        """
        letter = self.newest()
        if letter is None:
            raise Stale(f'{self.source}: nothing has arrived')
        age = (time.monotonic() if now_s is None else now_s) - letter.arrived_s
        if age > self.max_age_s:
            raise Stale(f'{self.source}: the newest message is {age:.2f} s old, expected at most '
                        f'{self.max_age_s} s ({self._limit_set_in})')
        return letter
