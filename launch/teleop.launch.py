"""Teleoperation beside a robot and its safety node: the cockpit, and a gamepad on the topic joy.

ros2 launch gato_ros teleop.launch.py                  # then open the printed address
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

ARGUMENTS = (
    ('robot', 'panda_sim', "The robot: a name in config/robots or a YAML file's path.", str),
    ('web', 'true', 'Serve the cockpit, a page.', bool),
    ('host', '127.0.0.1', 'Address of the page, which is printed with its token.', str),
    ('port', '8400', 'Of the page; 0: any that is free.', int),
    ('token', '', "That the page's address must carry; '': one is made.", str),
    ('folder', 'demos', 'Whose demonstrations the page offers as prompts.', str),
    ('gamepad', '', 'A device such as /dev/input/js0.', str),
    ('speed', '0.5', 'Of a gamepad, as a share of full speed.', float),
)


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the node."""
    parameters = {name: ParameterValue(LaunchConfiguration(name), value_type=kind)
                  for name, _, _, kind in ARGUMENTS}
    return LaunchDescription([
        *(DeclareLaunchArgument(name, default_value=default, description=words)
          for name, default, words, _ in ARGUMENTS),
        Node(package='gato_ros', executable='teleop_node', output='screen', emulate_tty=True,
             parameters=[parameters])])
