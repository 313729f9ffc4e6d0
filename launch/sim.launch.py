"""Simulator, safety node and policy node: everything on one machine.

ros2 launch gato_ros sim.launch.py --show-args
ros2 launch gato_ros sim.launch.py task:=lift_red_wide prompt:='lift the red block' seeds:='[0, 1]'
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, Shutdown
from launch.substitutions import EqualsSubstitution, LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

ARGUMENTS = (
    ('robot', 'panda_sim', "The robot: a name in config/robots or a YAML file's path.", None),
    ('task', 'stack_wide', 'What the simulator sets up, such as lift_red_narrow.', None),
    ('prompt', 'stack the red block on the blue block', 'What the policy is told.', None),
    ('checkpoint', '', "The policy's folder; '': the one that comes with the package.", None),
    ('seeds', '[0, 1, 2]', 'One episode for each seed.', None),
    ('mode', 'real_time', 'real_time: physics runs with the clock. lock_step: physics waits for '
     'each answer, so runs repeat exactly.', ['real_time', 'lock_step']),
    ('scheduling', 'real_time', 'real_time: SCHED_RR where the system permits it, in real time; '
     'ordinary: as all other programs.', ['real_time', 'ordinary']),
    ('viewer', 'false', "Show MuJoCo's window; needs a display.", ['true', 'false']),
)


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the three nodes."""
    def text(name: str) -> ParameterValue:
        return ParameterValue(LaunchConfiguration(name), value_type=str)

    lock_step = ParameterValue(EqualsSubstitution(LaunchConfiguration('mode'), 'lock_step'),
                               value_type=bool)

    def node(name: str, parameters: dict, **options: object) -> Node:
        return Node(package='gato_ros', executable=f'{name}_node', output='screen',
                    emulate_tty=True, parameters=[{'robot': text('robot'), **parameters,
                                                      'scheduling': text('scheduling')}],
                    **options)

    return LaunchDescription([
        *(DeclareLaunchArgument(name, default_value=default, description=words, choices=choices)
          for name, default, words, choices in ARGUMENTS),
        node('sim', {'task': text('task'), 'mode': text('mode'),
                     'seeds': ParameterValue(LaunchConfiguration('seeds'), value_type=list[int]),
                     'viewer': ParameterValue(LaunchConfiguration('viewer'), value_type=bool)},
             on_exit=Shutdown(reason='the simulator has ended')),
        # simulation: the gate opens by itself. Never set it where an arm can break things.
        node('safety', {'lock_step': lock_step, 'simulation': True, 'publish_hz': 100.0},
             on_exit=Shutdown(reason='without the safety node nothing may move')),
        node('policy', {'lock_step': lock_step, 'autostart': True, 'prompt': text('prompt'),
                        'checkpoint': text('checkpoint')}),
    ])
