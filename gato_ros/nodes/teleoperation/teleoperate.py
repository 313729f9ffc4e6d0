"""The teleop node as the program runs it: with parameters, and with a terminal's keys."""

from __future__ import annotations

import json
from typing import Any

from gato_ros.jog import Wish
from gato_ros.nodes.common.run import run
from gato_ros.nodes.teleoperation.keyboard import Keyboard
from gato_ros.nodes.teleoperation.teleop_node import TeleopNode


class KeyboardNode(TeleopNode):
    """Reads keys from the start to the end of the node."""

    def __init__(self) -> None:
        super().__init__()
        self._keys = Keyboard(self._put_key, self.context.try_shutdown, self.params.speed)
        self._keys.__enter__()

    def _put_key(self, wish: Wish | None) -> None:
        if wish is not None:
            self.control.put('the keyboard', wish)
        else:
            self.control.release('the keyboard')

    def close(self) -> None:
        self._keys.__exit__(None, None, None)
        super().close()


def teleoperate(keyboard: bool, parameters: dict[str, Any]) -> int:
    """Run the node with these parameters, with this terminal's keyboard if wanted."""
    args = ['--ros-args']
    for name, value in parameters.items():
        args += ['-p', f'{name}:={json.dumps(value)}']
    return run(KeyboardNode if keyboard else TeleopNode, args)
