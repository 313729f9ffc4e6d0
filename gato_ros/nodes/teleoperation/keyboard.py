"""Keys in a terminal to wishes. A terminal tells of no release: a key counts while it repeats."""

from __future__ import annotations

import select
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable
from types import TracebackType
from typing import Any

from gato_ros.jog import Wish

# key -> what it adds to a wish: (field, axis, sign)
MOTION = {'w': ('linear', 0, 1), 's': ('linear', 0, -1), 'a': ('linear', 1, 1),
          'd': ('linear', 1, -1), 'r': ('linear', 2, 1), 'f': ('linear', 2, -1),
          'u': ('angular', 0, 1), 'o': ('angular', 0, -1), 'i': ('angular', 1, 1),
          'k': ('angular', 1, -1), 'q': ('angular', 2, 1), 'e': ('angular', 2, -1)}
OTHERS: dict[str, dict[str, Any]] = {
    'c': {'gripper': -1.0}, 'v': {'gripper': 1.0}, 'h': {'home': True}, ' ': {}}
HELP = """w/s a/d r/f  move along x, y, z       q/e u/o i/k  turn (yaw, roll, pitch)
c/v  close, open   h  home   +/-  faster, slower   space  hold   x  leave
A key acts while it is held down (while the terminal repeats it)."""
FIRST_S, REPEAT_S = 0.6, 0.12  # until a key repeats for the first time, and from then on


def key_wish(key: str, speed: float) -> Wish | None:
    """Return what a key means, None for one that means nothing."""
    if key in OTHERS:
        return Wish(speed=speed, **OTHERS[key])
    if key not in MOTION:
        return None
    field, axis, sign = MOTION[key]
    values = [0.0, 0.0, 0.0]
    values[axis] = float(sign)
    return Wish(speed=speed, **{field: tuple(values)})  # type: ignore[arg-type]


class Keyboard:
    """Reads the terminal in a thread and calls ``put`` 40 times a second; a context manager."""

    def __init__(self, put: Callable[[Wish | None], None], leave: Callable[[], None],
                 speed: float = 0.5) -> None:
        self._put, self._leave, self.speed = put, leave, speed
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name='keyboard')

    def __enter__(self) -> Keyboard:
        self._former = termios.tcgetattr(sys.stdin)
        tty.setcbreak(sys.stdin)
        print(HELP, flush=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(timeout=1.0)
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._former)

    def _run(self) -> None:
        held, until_s = '', 0.0
        while not self._stop.is_set():
            if select.select([sys.stdin], [], [], 0.025)[0]:
                key = sys.stdin.read(1)
                if key == 'x':
                    self._leave()
                    return
                if key in '+-':
                    factor = 1.25 if key == '+' else 0.8
                    self.speed = min(1.0, max(0.05, self.speed * factor))
                    print(f'speed {self.speed:.2f}', flush=True)
                else:
                    again = key == held
                    until_s = time.monotonic() + (REPEAT_S if again else FIRST_S)
                    held = key
            if time.monotonic() > until_s:
                held = ''
            self._put(key_wish(held, self.speed) if held else None)
