"""The policy node alone: started, and unconfigured until told.

ros2 launch gato_ros policy.launch.py robot:=fr3 checkpoint:=/path/to/checkpoint
ros2 lifecycle set /policy configure && ros2 lifecycle set /policy activate
"""

from launch import LaunchDescription

from gato_ros.nodes.common.launching import arguments, local_discovery, node, value

ARGUMENTS = (
    ('robot', 'fr3', "The robot: a name in config/robots or a YAML file's path."),
    ('prompt', '', 'What the policy is told.'),
    ('checkpoint', '', "The policy's folder; '': the one that comes with the package."),
    ('device', 'cpu', 'Where torch computes: cpu or cuda.'),
    ('scheduling', 'real_time', 'real_time: SCHED_RR where the system permits it; ordinary.'),
)


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the node."""
    parameters = {name: value(name) for name, *_ in ARGUMENTS}
    return LaunchDescription([*arguments(ARGUMENTS), local_discovery(),
                              node('policy', parameters, managed=True)])
