"""A node that is told to stop waits for nothing longer than five seconds, whatever it does."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from ros_bench import PATIENCE, TIMEOUT_S, Bench, Processes, until
from std_msgs.msg import String

from gato_ros.nodes.common import qos

LIMIT_S = 5.0 * (1 if os.environ.get('GATO_SLOW') == '1' else 3) * PATIENCE  # on a busy machine
# The real policy node, whose policy takes for ever to load.
LOADING = """
import sys, time
from gato_ros.nodes.common.run import run
from gato_ros.nodes.policy.policy_node import PolicyNode
def load(params, robot):
    print('loading', flush=True)
    {work}
sys.exit(run(lambda: PolicyNode(load=load)))
"""
# A signal that ends the context, and nobody wakes the executor: it looked a moment too early.
UNWOKEN = """
import sys, threading
from rclpy.node import Node
from gato_ros.nodes.common.run import run
class Silent(Node):
    failure = None
    def __init__(self):
        super().__init__('silent')
        threading.Timer(1.0, self.context.handle.shutdown).start()
    def close(self):
        print('closed', flush=True)
sys.exit(run(Silent))
"""


def stop(process: subprocess.Popen, number: int = signal.SIGTERM) -> float:
    """Return how long a process takes to end with 0."""
    began = time.monotonic()
    process.send_signal(number)
    assert process.wait(TIMEOUT_S) == 0, process.log.read_text()
    return time.monotonic() - began


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize('work', ['time.sleep(600)', 'while True: pass'])
def test_a_node_that_is_loading_ends(processes: Processes, work: str, number: int) -> None:
    process = processes.start('-c', LOADING.format(work=work), autostart=True)
    until(lambda: 'loading' in process.log.read_text(), what='loading')
    assert stop(process, number) < LIMIT_S


def test_a_node_that_reads_a_prompt_which_never_comes_ends(bench: Bench, processes: Processes,
                                                           tmp_path: Path) -> None:
    """A recorder and a cockpit in a folder of pipes answer and end like any other."""
    os.mkfifo(tmp_path / 'pipe.mcap')
    os.mkfifo(tmp_path / 'pipe.safetensors')
    nodes = [processes.node('recorder_node', folder=tmp_path),
             processes.node('teleop_node', folder=tmp_path, web=True, port=0)]
    prompt = bench.publisher(String, 'prompt', qos.PROMPT)
    until(lambda: prompt.get_subscription_count() and 'cockpit:' in nodes[1].log.read_text(),
          what='the nodes')
    for name in ('pipe.mcap#last', 'pipe.safetensors#first', str(tmp_path / 'pipe.mcap#last')):
        prompt.publish(String(data=name))
    time.sleep(0.5)
    assert all(stop(node) < LIMIT_S for node in nodes)


def test_a_simulator_that_has_rendered_ends_at_once(bench: Bench, processes: Processes) -> None:
    """What OpenGL and the interpreter would free one by one is left to the system."""
    process = processes.node('sim_node', scheduling='ordinary')
    until(lambda: bench.found('camera/front/image_raw') and 'running' in process.log.read_text(),
          what='an episode')
    assert stop(process) < LIMIT_S * 0.6


def test_a_node_without_a_timer_ends_though_nothing_wakes_it(processes: Processes) -> None:
    process = processes.start('-c', UNWOKEN)
    assert process.wait(TIMEOUT_S) == 0
    assert 'closed' in process.log.read_text()
