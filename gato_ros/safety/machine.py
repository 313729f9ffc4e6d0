"""The states of the gate, and what leads from one to another.

    disabled --inputs good--> ready --enable--> enabled --stop--> stopping --at rest--> disabled
                                                       \\--fault-> stopping --at rest--> fault
    fault --clear, once its cause has ended--> disabled

A command follows proposals in the state enabled and nowhere else.
"""

from __future__ import annotations

from enum import Enum


class State(Enum):
    """Where the gate is; the value is its name in diagnostics."""

    DISABLED = 'disabled'
    READY = 'ready'
    ENABLED = 'enabled'
    STOPPING = 'stopping'
    FAULT = 'fault'


class Machine:
    """Remembers the state and, from a fault until it is cleared, the first reason.

    Requests return '' when they were granted, otherwise a sentence that says why not.
    """

    def __init__(self) -> None:
        self.state = State.DISABLED
        self.fault = ''  # latched reason

    def look(self, problem: str) -> None:
        """Take note of the inputs: ``problem`` names what is wrong, '' when nothing is.

        A problem is a fault while the arm follows proposals; before that it only keeps the gate
        from being ready.
        """
        if self.state is State.ENABLED and problem:
            self.state, self.fault = State.STOPPING, problem
        elif self.state in (State.DISABLED, State.READY):
            self.state = State.DISABLED if problem else State.READY

    def enable(self) -> str:
        """Follow proposals from now on; only from the state ready."""
        if self.state is not State.READY:
            return f'the gate is {self.state.value}, expected ready' + self._because()
        self.state = State.ENABLED
        return ''

    def stop(self) -> str:
        """Stop because somebody said so: no fault, and always granted."""
        if self.state is State.ENABLED:
            self.state = State.STOPPING
        return ''

    def at_rest(self) -> None:
        """Take note that the stop is complete."""
        if self.state is State.STOPPING:
            self.state = State.FAULT if self.fault else State.DISABLED

    def clear(self, problem: str) -> str:
        """Forget the fault; refused while ``problem`` still lasts or the arm still stops."""
        if self.state is not State.FAULT:
            return f'the gate is {self.state.value}, expected fault' + self._because()
        if problem:
            return f'the fault lasts: {problem}'
        self.state, self.fault = State.DISABLED, ''
        return ''

    def _because(self) -> str:
        return f' ({self.fault})' if self.fault else ''
