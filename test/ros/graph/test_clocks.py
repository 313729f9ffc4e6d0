"""Two simulators in one graph: each has a clock of its own behind its namespace, or says so."""

from __future__ import annotations

import pytest
from ros_bench import Bench, Processes, until
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image

from gato_ros.nodes import MODULES
from gato_ros.nodes.common import qos


@pytest.mark.sim
def test_behind_a_namespace_a_simulator_has_its_own_clock_and_names_a_rival(
        bench: Bench, processes: Processes) -> None:
    bench.publisher(Clock, '/left/clock', qos.CLOCK)  # as another simulator would
    ticks = bench.record(Clock, '/left/clock', qos.JOINTS)
    pictures = bench.record(Image, '/left/camera/front/image_raw', qos.NEWEST)
    sim = processes.start('-m', MODULES['sim_node'], '--ros-args', '-r', '__ns:=/left',
                          '-p', 'wait:=false', '-p', 'time_limit_s:=0.5')
    until(lambda: ticks and pictures, what='the clock and a picture')
    assert not bench.node.count_publishers('/clock')
    assert pictures[0][1].header.frame_id == 'left/camera_front_optical'
    until(lambda: '2 nodes publish on /left/clock, expected this simulator alone: start each in a '
          'namespace of its own' in sim.log.read_text(), what='a sentence')
