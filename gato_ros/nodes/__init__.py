"""The only part that knows ROS. Unless the environment says more, discovery stays local."""

import os

# Read when a context is made. The middleware's own default is the whole network, where anybody
# could publish commands for the arm.
os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
