"""The only part that knows ROS. Unless the environment says more, discovery stays local."""

import os

# Read when a context is made. The middleware's own default is the whole network, where anybody
# could publish commands for the arm.
os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')

# Every node's module, as setup.py installs it.
MODULES = {node: f'gato_ros.nodes.{room}.{node}' for room, node in (
    ('frames', 'frames_node'), ('policy', 'player_node'), ('policy', 'policy_node'),
    ('recorder', 'recorder_node'), ('safety', 'safety_node'), ('simulator', 'sim_node'),
    ('simulator', 'world_node'), ('teleoperation', 'teleop_node'))}
