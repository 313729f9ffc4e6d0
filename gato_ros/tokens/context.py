"""The rolling window: which slot of the ring holds which token, and what a new token may see.

Whole timesteps leave, oldest first; a pinned prompt stays, and moves up behind them: it keeps the
distance from the oldest timestep that it has in training. Only the distance between two tokens
matters to the model, so cached keys stay valid.
"""

from __future__ import annotations

from collections import deque

import numpy as np

CAPACITY = 1024  # tokens (paper, section 2.3)


class ContextWindow:
    """Slot bookkeeping for one sequence.

    capacity       slots in the ring
    max_timesteps  at most so many timesteps are visible, the newest included; None: all that fit
    position       int64[capacity], place of each slot's token in the sequence
    visible        bool[capacity], slots that hold a token of a timestep still in the window
    """

    def __init__(self, capacity: int = CAPACITY, max_timesteps: int | None = None) -> None:
        self.capacity = capacity
        self.max_timesteps = max_timesteps
        self.position = np.zeros(capacity, np.int64)
        self.visible = np.zeros(capacity, bool)
        self.clear()

    def clear(self) -> None:
        """Forget everything, the prompt included."""
        self.visible[:] = False
        self.pinned = 0
        self._next_position = 0
        self._head = 0  # next free slot, counted from the first slot behind the pinned ones
        self._timesteps: deque[np.ndarray] = deque()

    @property
    def tokens(self) -> int:
        """Tokens in the window."""
        return int(self.visible.sum())

    @property
    def timesteps(self) -> int:
        """Timesteps in the window, the pinned prompt not counted."""
        return len(self._timesteps)

    def pin(self, length: int) -> np.ndarray:
        """Reserve slots, int64[length], for prompt tokens that never leave; only when empty.

        Raises ValueError when timesteps are there already or the prompt leaves no room.
        """
        if self._timesteps:
            raise ValueError('a prompt can be pinned only before the first timestep')
        if self.pinned + length >= self.capacity:
            raise ValueError(f'a prompt of {self.pinned + length} tokens leaves no room in a '
                             f'window of {self.capacity}')
        slots = np.arange(self.pinned, self.pinned + length)
        self.pinned += length
        self._place(slots)
        return slots

    def append(self, length: int) -> np.ndarray:
        """Make room for a timestep of ``length`` tokens and return its slots, int64[length].

        Raises ValueError when it can never fit.
        """
        ring = self.capacity - self.pinned
        if length > ring:
            raise ValueError(f'a timestep of {length} tokens does not fit a window of '
                             f'{self.capacity} with {self.pinned} pinned')
        while self._timesteps and (
                sum(map(len, self._timesteps)) + length > ring
                or (self.max_timesteps is not None and self.timesteps >= self.max_timesteps)):
            self._leave()
        slots = self._take(length)
        self._timesteps.append(slots)
        return slots

    def grow(self, length: int = 1) -> np.ndarray:
        """Make room for ``length`` more tokens of the newest timestep: int64[length], their slots.

        Raises ValueError when they can never fit, or there is no timestep.
        """
        ring = self.capacity - self.pinned
        if not self._timesteps or len(self._timesteps[-1]) + length > ring:
            raise ValueError(f'a timestep cannot grow by {length} tokens in a window of '
                             f'{self.capacity} with {self.pinned} pinned')
        while sum(map(len, self._timesteps)) + length > ring:
            self._leave()
        slots = self._take(length)
        self._timesteps[-1] = np.concatenate([self._timesteps[-1], slots])
        return slots

    def forget(self) -> None:
        """Let all timesteps leave; what is pinned stays."""
        while self._timesteps:
            self._leave()

    def _leave(self) -> None:
        """Let the oldest timestep leave; the prompt moves up behind it."""
        left = self._timesteps.popleft()
        self.visible[left] = False
        self.position[:self.pinned] += len(left)

    def _take(self, length: int) -> np.ndarray:
        """Place tokens into the next slots."""
        ring = self.capacity - self.pinned
        slots = self.pinned + (self._head + np.arange(length)) % ring
        self._head = (self._head + length) % ring
        self._place(slots)
        return slots

    def _place(self, slots: np.ndarray) -> None:
        self.position[slots] = self._next_position + np.arange(len(slots))
        self.visible[slots] = True
        self._next_position += len(slots)
