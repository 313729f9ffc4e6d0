"""A real arm: the gate first and closed, then controllers, cameras and the policy, inactive.

ros2 launch gato_ros robot.launch.py robot:=fr3 checkpoint:=/path blend:=0.1
Read docs/bring_up.md before. The robot's own driver (hardware interface, controller manager) is
started by its own launch file; this one loads the controllers into it, inactive.
"""

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    RegisterEventHandler,
    SetEnvironmentVariable,
    Shutdown,
)
from launch.conditions import IfCondition
from launch.event_handlers import OnProcessStart
from launch.substitutions import EnvironmentVariable, LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

ARGUMENTS = (
    ('robot', 'fr3', 'The robot: a name in config/robots.'),
    ('checkpoint', '', "The policy's folder; '': the one that comes with the package."),
    ('prompt', '', 'What the policy is told.'),
    ('device', 'cpu', 'Where torch computes: cpu or cuda.'),
    ('scheduling', 'real_time', 'real_time: SCHED_RR where the system permits it; ordinary.'),
    ('controller', 'effort_controller', 'The controller that takes the commands, in '
     'config/controllers/<robot>.yaml; it is loaded and stays inactive.'),
    ('stop', 'ramp', 'What a stop does: ramp to zero residual torque, or hold.'),
    ('blend', '0.0', 'How much of each proposal reaches the arm, 0 to 1; 0 for a dry run.'),
    ('cameras', 'true', 'Start v4l2 drivers for front and wrist; false: they run already.'),
    ('front_device', '/dev/video0', 'The front camera.'),
    ('wrist_device', '/dev/video2', 'The camera at the wrist.'),
)


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments; whatever else starts, starts after the safety node."""
    def value(name: str, kind: type = str) -> ParameterValue:
        return ParameterValue(LaunchConfiguration(name), value_type=kind)

    share = FindPackageShare('gato_ros')
    safety = Node(package='gato_ros', executable='safety_node', output='screen', emulate_tty=True,
                  parameters=[{'robot': value('robot'), 'stop': value('stop'),
                               'scheduling': value('scheduling'),
                               'blend': value('blend', float)}],
                  on_exit=Shutdown(reason='without the safety node nothing may move'))
    controllers = Node(
        package='controller_manager', executable='spawner', output='screen',
        arguments=['--inactive', LaunchConfiguration('controller'), '--param-file',
                   PathJoinSubstitution([share, 'config', 'controllers',
                                         [LaunchConfiguration('robot'), '.yaml']])])
    cameras = [Node(package='v4l2_camera', executable='v4l2_camera_node', name=f'{name}_camera',
                    namespace=f'camera/{name}', output='screen',
                    condition=IfCondition(LaunchConfiguration('cameras')),
                    parameters=[{'video_device': value(f'{name}_device'),
                                 'output_encoding': 'rgb8'}])
               for name in ('front', 'wrist')]
    policy = IncludeLaunchDescription(
        PathJoinSubstitution([share, 'launch', 'policy.launch.py']),
        launch_arguments={name: LaunchConfiguration(name) for name in (
            'robot', 'checkpoint', 'prompt', 'device', 'scheduling')}.items())
    return LaunchDescription([
        *(DeclareLaunchArgument(name, default_value=default, description=words)
          for name, default, words in ARGUMENTS),
        SetEnvironmentVariable('ROS_AUTOMATIC_DISCOVERY_RANGE', EnvironmentVariable(
            'ROS_AUTOMATIC_DISCOVERY_RANGE', default_value='LOCALHOST')),
        RegisterEventHandler(OnProcessStart(target_action=safety,
                                            on_start=[controllers, *cameras, policy])),
        safety,
    ])
