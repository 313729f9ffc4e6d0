"""What the launch files share: arguments from a table, and nodes that end when launch ends.

    ARGUMENTS = (('robot', 'fr3', 'The robot.'),)
    LaunchDescription([*arguments(ARGUMENTS), node('safety', {'robot': value('robot')})])
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext
from launch.actions import (
    DeclareLaunchArgument,
    LogInfo,
    OpaqueFunction,
    SetEnvironmentVariable,
    Shutdown,
)
from launch.substitutions import EnvironmentVariable, LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import ParameterValue

from gato_ros.config import data_path

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


VIEW = ('view', 'none', 'What is shown. frames: robot_description, /tf with the cameras, efforts '
        'as wrenches, the workspace; rviz: these in RViz; none.', ['none', 'frames', 'rviz'])


def view(describe: bool) -> OpaqueFunction:
    """Return what the argument ``view`` asks for.

    describe  False where the robot's own driver publishes robot_description
    """
    def start(context: LaunchContext) -> list:
        chosen, namespace = (LaunchConfiguration(name).perform(context)
                             for name in ('view', 'namespace'))
        if chosen == 'none':
            return []
        frames = node('frames', {'robot': value('robot'), 'describe': describe})
        if chosen == 'frames':
            return [frames]
        fixed = f'{namespace.strip("/")}/base'.lstrip('/')
        return [frames, *needs('rviz2', 'RViz is not started', Node(
            package='rviz2', executable='rviz2', exec_name='rviz2', namespace=namespace,
            output='screen', prefix=WITH_LAUNCH,
            arguments=['-d', str(data_path('rviz', 'gato.rviz')), '-f', fixed]))]
    return OpaqueFunction(function=start)


def needs(package: str, without: str, *actions: Node) -> list:
    """Return actions of a package, or a sentence where it is not installed."""
    try:
        get_package_prefix(package)
    except PackageNotFoundError:
        return [LogInfo(msg=f'{without}: the package {package} is not installed, expected it from '
                            f'apt (ros-$ROS_DISTRO-{package.replace("_", "-")})')]
    return list(actions)


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
