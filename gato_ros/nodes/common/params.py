"""Parameters from a small table: described, ranged, checked, and mostly fixed at the start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import ParameterException
from rclpy.node import Node

from gato_ros.config import ConfigError


@dataclass(frozen=True)
class Param:
    """One parameter; its type is the default's, and ``low`` to ``high`` (both allowed) its range.

    The description names the unit.
    """

    name: str
    default: bool | int | float | str | list
    description: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    fixed: bool = True  # for the life of the node; else the node decides when it may change


# Declared by every node of this package.
ROBOT = Param('robot', 'panda_sim', "The robot: a name in config/robots or a YAML file's path.")


def frame_prefix(node: Node) -> str:
    """Return what frames begin with behind a namespace: ``left/``, or '' without one."""
    return f'{node.get_namespace()}/'.lstrip('/')


def declare(node: Node, table: Sequence[Param]) -> SimpleNamespace:
    """Declare the table's parameters on ``node`` and return their values by name.

    Raises ConfigError when a value from the command line or a file has a wrong type or range.
    """
    values: dict[str, Any] = {}
    for param in table:
        given = getattr(node, '_parameter_overrides', {}).get(param.name)  # for the sentence
        try:
            value = node.declare_parameter(param.name, param.default, _descriptor(param)).value
        except ParameterException as error:
            raise ConfigError(f'parameter {param.name!r} is {getattr(given, "value", given)!r}, '
                              f'expected {_expected(param)} ({param.description})') from error
        if param.choices and value not in param.choices:
            raise ConfigError(f'parameter {param.name!r} is {value!r}, expected '
                              f'{_expected(param)} ({param.description})')
        values[param.name] = list(value) if isinstance(param.default, list) else value
    return SimpleNamespace(**values)


def _descriptor(param: Param) -> ParameterDescriptor:
    msg = ParameterDescriptor(description=param.description, read_only=param.fixed,
                              additional_constraints=_expected(param))
    if param.low is not None and param.high is not None:
        if isinstance(param.default, float):
            msg.floating_point_range = [FloatingPointRange(from_value=float(param.low),
                                                           to_value=float(param.high))]
        else:
            msg.integer_range = [IntegerRange(from_value=int(param.low),
                                              to_value=int(param.high), step=1)]
    return msg


def _expected(param: Param) -> str:
    if param.choices:
        return 'one of ' + ', '.join(param.choices)
    kind = {bool: 'true or false', int: 'a whole number', float: 'a number with a point',
            str: 'a text', list: 'a list of whole numbers'}[type(param.default)]
    return kind if param.low is None else f'{kind} from {param.low} to {param.high}'
