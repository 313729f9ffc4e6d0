"""Somebody who is not meant to be here: wants to command the arm, and says whom it has found.

    python outsider.py 5        # for so many seconds; prints one line of JSON at the end
"""

from __future__ import annotations

import json
import sys
import time

import rclpy
from std_msgs.msg import Float64MultiArray

from gato_ros.nodes.common import qos

ARM = 'effort_controller/commands'

rclpy.init()
node = rclpy.create_node('outsider')
heard: list[Float64MultiArray] = []
node.create_subscription(Float64MultiArray, ARM, heard.append, qos.NEWEST)
publisher = node.create_publisher(Float64MultiArray, ARM, qos.COMMAND)
found: set[str] = set()
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    publisher.publish(Float64MultiArray(data=[29.0] * 7))
    rclpy.spin_once(node, timeout_sec=0.05)
    found |= set(node.get_node_names()) - {'outsider'}
own = sum(list(msg.data) == [29.0] * 7 for msg in heard)
print(json.dumps({'found': sorted(found), 'commands_heard': len(heard) - own}))
node.destroy_node()
rclpy.try_shutdown()
