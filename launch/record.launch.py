"""The recorder beside whatever runs.

ros2 launch gato_ros record.launch.py folder:=demos task:=stack_wide
ros2 service call /recorder/start std_srvs/srv/Trigger
ros2 service call /recorder/save std_srvs/srv/SetBool '{data: true}'
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

ARGUMENTS = (
    ('robot', 'panda_sim', "The robot: a name in config/robots or a YAML file's path.", None),
    ('folder', 'demos', 'Where the recordings go.', None),
    ('task', '', "The task's name, such as stack_wide.", None),
    ('sentence', '', "What is shown, in words; '': the prompt that was heard.", None),
    ('source', 'teleoperation', 'Who acts.', ['teleoperation', 'expert', 'policy']),
    ('scheduling', 'real_time', 'real_time: SCHED_RR where the system permits it.',
     ['real_time', 'ordinary']),
    ('follow_simulator', 'false', 'Record every episode of the simulator.', ['true', 'false']),
)


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the recorder."""
    kinds = {'follow_simulator': bool}
    parameters = {name: ParameterValue(LaunchConfiguration(name), value_type=kinds.get(name, str))
                  for name, *_ in ARGUMENTS}
    return LaunchDescription([
        *(DeclareLaunchArgument(name, default_value=default, description=words, choices=choices)
          for name, default, words, choices in ARGUMENTS),
        Node(package='gato_ros', executable='recorder_node', output='screen', emulate_tty=True,
             parameters=[parameters])])
