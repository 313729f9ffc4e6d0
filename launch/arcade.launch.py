"""Any domain's world and a policy that plays it; for a robot's worlds there is sim.launch.py.

ros2 launch gato_ros arcade.launch.py domain:=atari task:=pong checkpoint:=/path/to/checkpoint
ros2 topic echo /world/joy buttons
"""

from launch import LaunchDescription

from gato_ros.nodes.common.launching import (
    arguments,
    ends_all,
    local_discovery,
    node,
    value,
)

ARGUMENTS = (
    ('domain', 'cartpole', 'A name that `gato-ros domains` lists, or a file.'),
    ('task', 'balance', 'One of its tasks.'),
    ('checkpoint', '', "The policy's folder; '': the one that comes with the package."),
    ('device', 'cpu', 'Where torch computes: cpu or cuda.'),
    ('seed', '0', 'Of the first episode; the next ones follow upwards.'),
    ('episodes', '0', 'How many; 0: without end.'),
    ('rate_hz', '20.0', 'Timesteps a second at most.'),
    ('caption_s', '0.0', 'Seconds between captions of what is seen; 0: none.'),
)


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the world and its player."""
    return LaunchDescription([
        *arguments(ARGUMENTS), local_discovery(),
        node('world', {'domain': value('domain'), 'task': value('task'),
                       'seed': value('seed', int), 'episodes': value('episodes', int),
                       'rate_hz': value('rate_hz', float), 'exit_when_done': True},
             on_exit=ends_all('the world has ended')),
        node('player', {'checkpoint': value('checkpoint'), 'device': value('device'),
                        'caption_s': value('caption_s', float)}),
    ])
