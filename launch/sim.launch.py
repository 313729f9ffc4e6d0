"""Simulator, safety node and policy node: everything on one machine.

ros2 launch gato_ros sim.launch.py --show-args
ros2 launch gato_ros sim.launch.py task:=lift_red_wide prompt:='lift the red block' seeds:='[0, 1]'
ros2 launch gato_ros sim.launch.py cockpit:=true caption_s:=1.0      # arm, captions and questions
"""

from launch import LaunchDescription
from launch.conditions import IfCondition, UnlessCondition
from launch.substitutions import EqualsSubstitution, LaunchConfiguration
from launch_ros.parameter_descriptions import ParameterValue

from gato_ros.nodes.common.launching import (
    VIEW,
    arguments,
    ends_all,
    node,
    value,
    view,
)

ARGUMENTS = (
    ('robot', 'panda_sim', "The robot: a name in config/robots or a YAML file's path."),
    ('task', 'stack_wide', 'What the simulator sets up, such as lift_red_narrow.'),
    ('prompt', 'stack the red block on the blue block', 'What the policy is told.'),
    ('checkpoint', '', "The policy's folder; '': the one that comes with the package."),
    ('seeds', '[0, 1, 2]', 'One episode for each seed.'),
    ('mode', 'real_time', 'real_time: physics runs with the clock. lock_step: physics waits for '
     'each answer, so runs repeat exactly.', ['real_time', 'lock_step']),
    ('scheduling', 'ordinary', 'real_time: SCHED_RR where the system permits it, in real time; '
     'ordinary: as all other programs.', ['real_time', 'ordinary']),
    ('caption_s', '0.0', 'Seconds between captions of what the cameras see; 0: none.'),
    ('cockpit', 'false', 'Serve the cockpit, whose address is printed: watch, take over, ask.',
     ['true', 'false']),
    ('viewer', 'false', "Show MuJoCo's window; needs a display.", ['true', 'false']),
    VIEW,
)


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the three nodes; with the cockpit its node, too."""
    common = {'robot': value('robot'), 'scheduling': value('scheduling')}
    lock_step = {'lock_step': ParameterValue(
        EqualsSubstitution(LaunchConfiguration('mode'), 'lock_step'), value_type=bool)}
    policy = {**common, **lock_step, 'autostart': True, 'prompt': value('prompt'),
              'checkpoint': value('checkpoint'), 'caption_s': value('caption_s', float)}
    cockpit = LaunchConfiguration('cockpit')
    return LaunchDescription([
        *arguments(ARGUMENTS),
        node('sim', {**common, 'task': value('task'), 'mode': value('mode'),
                     'seeds': value('seeds', list[int]), 'viewer': value('viewer', bool)},
             on_exit=ends_all('the simulator has ended')),
        # simulation: the gate opens by itself. Never set it where an arm can break things.
        node('safety', {**common, **lock_step, 'simulation': True, 'publish_hz': 100.0},
             on_exit=ends_all('without the safety node nothing may move')),
        node('policy', policy, condition=UnlessCondition(cockpit)),
        # The cockpit's node passes on what the policy proposes, while no person acts.
        node('policy', policy, condition=IfCondition(cockpit),
             remappings=[('proposed_effort', 'policy_effort')]),
        node('teleop', {'robot': value('robot'), **lock_step, 'web': True},
             condition=IfCondition(cockpit)),
        view(describe=True),
    ])
