"""What the cockpit needs of the node that it is a part of."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np

from gato_ros.nodes.sensing.inputs import Inputs
from gato_ros.nodes.teleoperation.control import Control
from gato_ros.robot import RobotSpec


class Host(Protocol):
    """A ROS node that lets one source at a time move the arm.

    params     its parameters; ``folder`` is where demonstrations lie
    policy_on  whether a policy's proposals are passed on while nobody holds the button
    """

    robot: RobotSpec
    params: SimpleNamespace
    control: Control
    inputs: Inputs
    policy_on: bool
    get_namespace: Callable[[], str]
    create_client: Callable[..., Any]
    create_publisher: Callable[..., Any]
    create_subscription: Callable[..., Any]

    @property
    def actor(self) -> str:
        """Who acts: person, policy or rest; '' before the first proposal."""

    def positions(self) -> list[float]:
        """Return the joints' positions in the robot's order, rad; [] while there are none."""

    def tool(self) -> np.ndarray | None:
        """Return float64[3]: where the tool is, m, base frame; None before the first joints."""

    def remark(self, words: str) -> None:
        """Say an operator's words to whoever records."""
