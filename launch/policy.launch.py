"""The policy node alone: started, and unconfigured until told.

ros2 launch gato_ros policy.launch.py robot:=fr3 checkpoint:=/path/to/checkpoint
ros2 lifecycle set /policy configure && ros2 lifecycle set /policy activate
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable
from launch.substitutions import EnvironmentVariable, LaunchConfiguration
from launch_ros.actions import LifecycleNode
from launch_ros.parameter_descriptions import ParameterValue

ARGUMENTS = (
    ('robot', 'fr3', "The robot: a name in config/robots or a YAML file's path."),
    ('prompt', '', 'What the policy is told.'),
    ('checkpoint', '', "The policy's folder; '': the one that comes with the package."),
    ('device', 'cpu', 'Where torch computes: cpu or cuda.'),
    ('scheduling', 'real_time', 'real_time: SCHED_RR where the system permits it; ordinary.'),
)


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the node."""
    return LaunchDescription([
        *(DeclareLaunchArgument(name, default_value=default, description=words)
          for name, default, words in ARGUMENTS),
        SetEnvironmentVariable('ROS_AUTOMATIC_DISCOVERY_RANGE', EnvironmentVariable(
            'ROS_AUTOMATIC_DISCOVERY_RANGE', default_value='LOCALHOST')),
        LifecycleNode(package='gato_ros', executable='policy_node', name='policy', namespace='',
                      output='screen', emulate_tty=True, parameters=[{
                          name: ParameterValue(LaunchConfiguration(name), value_type=str)
                          for name, _, _ in ARGUMENTS}]),
    ])
