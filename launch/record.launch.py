"""The recorder beside whatever runs.

ros2 launch gato_ros record.launch.py folder:=demos task:=stack_wide
ros2 service call /recorder/start std_srvs/srv/Trigger
ros2 service call /recorder/save std_srvs/srv/SetBool '{data: true}'
"""

from launch import LaunchDescription

from gato_ros.nodes.common.launching import arguments, node, value

ARGUMENTS = (
    ('robot', 'panda_sim', "The robot: a name in config/robots or a YAML file's path."),
    ('folder', 'demos', 'Where the recordings go.'),
    ('task', '', "The task's name, such as stack_wide."),
    ('sentence', '', "What is shown, in words; '': the prompt that was heard."),
    ('source', 'teleoperation', 'Who acts.', ['teleoperation', 'expert', 'policy']),
    ('scheduling', 'real_time', 'real_time: SCHED_RR where the system permits it.',
     ['real_time', 'ordinary']),
    ('follow_simulator', 'false', 'Record every episode of the simulator.', ['true', 'false']),
)
KINDS = {'follow_simulator': bool}


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the recorder."""
    parameters = {name: value(name, KINDS.get(name, str)) for name, *_ in ARGUMENTS}
    return LaunchDescription([*arguments(ARGUMENTS), node('recorder', parameters)])
