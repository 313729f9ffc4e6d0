"""A gamepad's sticks and buttons to a wish, from sensor_msgs/Joy or from the device itself.

Left stick: x and y. Right stick: z and yaw. Left shoulder button, held: enable. Right shoulder
button, held: roll and pitch instead of x and y. A closes, B opens, start goes home.
"""

from __future__ import annotations

import math
import struct
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from gato_ros.jog import Wish

CLOSE, OPEN, ENABLE, TURN, HOME = 0, 1, 4, 5, 7  # buttons, as the Linux driver numbers them
LEFT_X, LEFT_Y, RIGHT_X, RIGHT_Y = 0, 1, 3, 4  # axes; up and left are positive, as in ROS
DEAD_ZONE = 0.12
EVENT = struct.Struct('IhBB')  # linux/joystick.h: time, value, type, number
BUTTON, AXIS, FIRST = 1, 2, 0x80  # FIRST: how it is when it is opened or comes back, no press


def gamepad_wish(axes: Sequence[float], buttons: Sequence[int], speed: float) -> Wish | None:
    """Return what the person wants, or None while the enable button is not held."""
    def axis(number: int) -> float:
        value = axes[number] if number < len(axes) else 0.0
        if not math.isfinite(value):  # a driver that lies holds nothing
            return 0.0
        return max(-1.0, min(1.0, value)) if abs(value) > DEAD_ZONE else 0.0

    def pressed(number: int) -> bool:
        return number < len(buttons) and bool(buttons[number])

    if not pressed(ENABLE):
        return None
    across = (axis(LEFT_Y), axis(LEFT_X))
    turning = pressed(TURN)
    return Wish(linear=(*((0.0, 0.0) if turning else across), axis(RIGHT_Y)),
                angular=(*(across if turning else (0.0, 0.0)), axis(RIGHT_X)),
                gripper=float(pressed(OPEN)) - float(pressed(CLOSE)), home=pressed(HOME),
                speed=speed)


class Gamepad(threading.Thread):
    """Reads a device such as /dev/input/js0 and calls ``put`` with its axes and buttons.

    Raises OSError when the device cannot be opened.
    """

    def __init__(self, device: Path, put: Callable[[list[float], list[int]], None]) -> None:
        super().__init__(name='gamepad', daemon=True)  # it waits in a read that nothing ends
        self._stream, self._put = device.open('rb', buffering=0), put
        self._axes, self._buttons = [0.0] * 16, [0] * 32

    def run(self) -> None:
        """Follow the device until it is unplugged; then nothing is held any more."""
        try:
            while len(data := self._stream.read(EVENT.size) or b'') == EVENT.size:
                _, value, kind, number = EVENT.unpack(data)
                if kind & BUTTON and number < len(self._buttons):
                    self._buttons[number] = 0 if kind & FIRST else value
                elif kind & AXIS and number < len(self._axes):
                    self._axes[number] = -value / 32767
        except OSError:
            pass
        self._buttons = [0] * len(self._buttons)

    def poll(self) -> None:
        """Say what is held now; to be called regularly, for the device speaks only of changes."""
        self._put(self._axes, self._buttons)
