"""Who may compute now, where several threads want the same cores: one at a time, by urgency.

    turns = Turns()
    with turns.urgent():      # a control step: goes next, whoever else waits
        ...
    with turns.patient():     # one token of a chat: waits while anybody urgent does
        ...

So an urgent turn waits for what is under way, and for nothing else.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """Gives turns; thread-safe. A thread must not ask for a turn while it has one."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._taken = False
        self._urgent = 0  # how many wait

    @contextmanager
    def urgent(self) -> Iterator[None]:
        """Take the next turn."""
        with self._changed:
            self._urgent += 1
            try:
                self._changed.wait_for(lambda: not self._taken)
                self._taken = True
            finally:
                self._urgent -= 1
        yield from self._turn()

    @contextmanager
    def patient(self) -> Iterator[None]:
        """Take a turn when nobody urgent waits."""
        with self._changed:
            self._changed.wait_for(lambda: not self._taken and not self._urgent)
            self._taken = True
        yield from self._turn()

    def _turn(self) -> Iterator[None]:
        try:
            yield
        finally:
            with self._changed:
                self._taken = False
                self._changed.notify_all()
