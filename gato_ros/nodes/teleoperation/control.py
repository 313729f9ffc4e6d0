"""Who moves the arm now: one person at a time, and only while a button is held down."""

from __future__ import annotations

import threading
import time

from gato_ros.jog import Wish

LEASE_S = 2.0  # whoever says nothing for so long has lost control


class Control:
    """Wishes of several sources (pages, gamepad, keyboard); thread-safe.

    max_age_s  a wish that is older counts as a button let go: the tab or the network is gone
    changed    set whenever the wish in force may have changed
    """

    def __init__(self, max_age_s: float) -> None:
        self._max_age_s = max_age_s
        self._lock = threading.Lock()
        self._holder, self._heard_s = '', -float('inf')
        self._wish: Wish | None = None
        self.changed = threading.Event()

    def take(self, source: str) -> str:
        """Give control to ``source``; returns who has it already, in a sentence, or ''."""
        with self._lock:
            if self._held() and source != self._holder:
                return f'{self._holder} has control, expected nobody: it must be given back first'
            if source != self._holder:
                self._wish = None
            self._holder, self._heard_s = source, time.monotonic()
            return ''

    def put(self, source: str, wish: Wish | None) -> str:
        """Say what ``source`` wants, None while its button is not held; as ``take`` otherwise."""
        if refusal := self.take(source):
            return refusal
        with self._lock:
            news = wish != self._wish
            self._wish, self._heard_s = wish, time.monotonic()
        if news:
            self.changed.set()
        return ''

    def release(self, source: str) -> None:
        """Give control back; nothing for those who do not have it."""
        with self._lock:
            if source != self._holder:
                return
            self._holder, self._wish = '', None
        self.changed.set()

    @property
    def holder(self) -> str:
        """Who has control, or ''."""
        with self._lock:
            return self._holder if self._held() else ''

    def wish(self) -> Wish | None:
        """Return what is wanted now; None while no button is held."""
        with self._lock:
            fresh = time.monotonic() - self._heard_s <= self._max_age_s
            return self._wish if fresh else None

    def _held(self) -> bool:
        return bool(self._holder) and time.monotonic() - self._heard_s <= LEASE_S
