"""Teleoperation beside a robot and its safety node: the cockpit, and a gamepad on the topic joy.

ros2 launch gato_ros teleop.launch.py                  # then open the printed address
"""

from launch import LaunchDescription

from gato_ros.nodes.common.launching import arguments, node, value

ARGUMENTS = (
    ('robot', 'panda_sim', "The robot: a name in config/robots or a YAML file's path."),
    ('web', 'true', 'Serve the cockpit, a page.'),
    ('host', '127.0.0.1', 'Address of the page, which is printed with its token.'),
    ('port', '8400', 'Of the page; 0: any that is free.'),
    ('token', '', "That the page's address must carry; '': one is made."),
    ('folder', 'demos', 'Whose demonstrations the page offers as prompts.'),
    ('gamepad', '', 'A device such as /dev/input/js0.'),
    ('speed', '0.5', 'Of a gamepad, as a share of full speed.'),
)
KINDS = {'web': bool, 'port': int, 'speed': float}


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the node."""
    parameters = {name: value(name, KINDS.get(name, str)) for name, *_ in ARGUMENTS}
    return LaunchDescription([*arguments(ARGUMENTS), node('teleop', parameters)])
