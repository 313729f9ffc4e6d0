"""What the launch files share: arguments from a table, and nodes that end when launch ends.

    ARGUMENTS = (('robot', 'fr3', 'The robot.'),)
    LaunchDescription([*arguments(ARGUMENTS), node('safety', {'robot': value('robot')})])
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from launch import LaunchContext
from launch.actions import (
    DeclareLaunchArgument,
    OpaqueFunction,
    SetEnvironmentVariable,
    Shutdown,
)
from launch.substitutions import EnvironmentVariable, LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import ParameterValue

# On SIGTERM launch ends at once and leaves its processes alone (so it says itself), and when it
# is killed it can do nothing. So Linux tells each process that launch, its parent, is gone.
WITH_LAUNCH = 'setpriv --pdeathsig TERM' if shutil.which('setpriv') else None
NAMESPACE = ('namespace', '', 'Of all nodes, where two robots are in one graph, such as left.')


def arguments(table: Sequence[tuple]) -> list[DeclareLaunchArgument]:
    """Return arguments from rows of (name, default, description), or with choices as well.

    Beside them stands that of all launch files, the namespace.
    """
    return [DeclareLaunchArgument(name, default_value=default, description=words,
                                  choices=choices[0] if choices else None)
            for name, default, words, *choices in (*table, NAMESPACE)]


def value(name: str, kind: Any = str) -> ParameterValue:
    """Return an argument's value as a parameter of type ``kind``."""
    return ParameterValue(LaunchConfiguration(name), value_type=kind)


def node(name: str, parameters: Mapping[str, Any], managed: bool = False,
         **options: Any) -> Node:
    """Return one of this package's nodes, with its words on the screen."""
    options |= {'name': name} if managed else {}
    return (LifecycleNode if managed else Node)(
        package='gato_ros', executable=f'{name}_node', exec_name=f'{name}_node',
        namespace=LaunchConfiguration('namespace'), output='screen', emulate_tty=True,
        prefix=WITH_LAUNCH, parameters=[dict(parameters)], **options)


def ends_all(reason: str) -> OpaqueFunction:
    """Return what ends the launch, for a node's ``on_exit``.

    Not while it ends already: launch_ros takes a second shutdown for an error.
    """
    def end(context: LaunchContext) -> list[Shutdown]:
        return [] if context.is_shutdown else [Shutdown(reason=reason)]
    return OpaqueFunction(function=end)


def local_discovery() -> SetEnvironmentVariable:
    """Return what keeps the graph on this computer, unless the environment says otherwise."""
    name = 'ROS_AUTOMATIC_DISCOVERY_RANGE'
    return SetEnvironmentVariable(name, EnvironmentVariable(name, default_value='LOCALHOST'))
