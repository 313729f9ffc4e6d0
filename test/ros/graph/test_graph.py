"""The graph of processes: simulator, safety node and policy node over real DDS."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ros_bench import Bench, Processes, ended, until
from rosgraph_msgs.msg import Clock
from scripted_policy import HomePolicy
from sensor_msgs.msg import CameraInfo, Image, JointState, PointCloud2
from std_msgs.msg import String

from gato_ros.domains.stacking.env import StackingEnv
from gato_ros.domains.stacking.tasks import load_task
from gato_ros.nodes.common import convert, qos
from gato_ros.robot import TORQUES, load_robot
from gato_ros.safety import SafetyGate

ROBOT = load_robot('panda_sim')
SCRIPTED = str(Path(__file__).parents[1] / 'helpers' / 'scripted_policy.py')
MS = 1_000_000


class Graph:
    """Starts the nodes and listens to them; ``checkpoint`` None: the scripted policy.

    The policy comes last: without it nothing moves, so nothing is missed.
    """

    def __init__(self, bench: Bench, processes: Processes, checkpoint: Path | None = None,
                 **sim: Any) -> None:
        self.sent = bench.record(JointState, 'sent_effort', qos.RECORD)
        self.said = bench.record(String, 'sim/episode', qos.EPISODES)
        lock_step = sim.get('mode') == 'lock_step'
        self.sim = processes.node('sim_node', **sim)
        self.safety = processes.node('safety_node', lock_step=lock_step, simulation=True)
        until(lambda: bench.found('sim/episode', 'joint_states', 'sent_effort'), what='discovery')
        if checkpoint is None:
            self.policy = processes.start(SCRIPTED, lock_step=lock_step, autostart=True)
        else:
            self.policy = processes.node('policy_node', lock_step=lock_step, autostart=True,
                                         checkpoint=checkpoint)

    def results(self) -> list[dict[str, Any]]:
        """Return the episodes that have ended."""
        return ended(self.said)

    def efforts(self) -> list[list[list[float]]]:
        """Return what was sent, by episode and step."""
        episodes: list[dict[int, list[float]]] = []
        last = 0
        for _, msg in self.sent:
            stamp = convert.to_ns(msg.header.stamp)
            if not episodes or stamp < last:
                episodes.append({})
            episodes[-1][stamp] = list(msg.effort)
            last = stamp
        return [list(episode.values()) for episode in episodes]


def rollout(seed: int, steps: int) -> list[list[float]]:
    """Return what the gate sends when the scripted policy acts without any ROS."""
    env = StackingEnv(ROBOT, load_task('stack_wide'))
    gate, policy, sent = SafetyGate(ROBOT), HomePolicy(), []
    observation = env.reset(seed)
    for _ in range(steps):
        effort = gate.check(policy.act(observation).values[TORQUES], 0.05).effort
        sent.append(effort.tolist())
        observation = env.step(effort)
    env.close()
    return sent


@pytest.mark.sim
def test_lock_step_episodes_equal_those_without_ros(bench: Bench, processes: Processes) -> None:
    graph = Graph(bench, processes, mode='lock_step', seeds='[5,6]', time_limit_s=1.0,
                  exit_when_done=True)
    until(lambda: len(graph.results()) == 2, what='two episodes')
    until(lambda: [len(e) for e in graph.efforts()] == [20, 20], what='every answer')
    assert graph.sim.wait(timeout=30) == 0
    for result, seed in zip(graph.results(), (5, 6), strict=True):
        assert result == {**result, 'seed': seed, 'task': 'stack_wide', 'status': 'failed',
                          'failure': 'never reached', 'steps': 20, 'sim_s': 1.0}
    first, second = graph.efforts()
    assert first == rollout(5, 20)
    assert second == rollout(6, 20)


@pytest.mark.sim
def test_the_real_policy_answers_in_lock_step(bench: Bench, processes: Processes,
                                              checkpoint: Path) -> None:
    timing = bench.record(String, 'policy/timing', qos.RECORD)
    graph = Graph(bench, processes, checkpoint, mode='lock_step', seeds='[7]', time_limit_s=15.0,
                  exit_when_done=True)
    until(lambda: graph.results(), timeout_s=90, what='an episode')
    # The policy is quicker than discovery: its first answers may be given before we hear it.
    until(lambda: len({json.loads(msg.data)['stamp_ns'] for _, msg in timing}) >= 10,
          what='ten answers')
    steps = [json.loads(msg.data) for _, msg in timing]
    assert all(32000 <= token < 33024 for step in steps for token in step['tokens'])
    assert all(step['window'] > 0 for step in steps)


@pytest.mark.sim
def test_real_time_publishes_as_a_robot_does(bench: Bench, processes: Processes) -> None:
    clock = bench.record(Clock, '/clock', qos.JOINTS)
    joints = bench.record(JointState, 'joint_states', qos.RECORD)
    images = bench.record(Image, 'camera/front/image_raw', qos.RECORD)
    infos = bench.record(CameraInfo, 'camera/front/camera_info', qos.RECORD)
    points = bench.record(PointCloud2, 'camera/front/points', qos.RECORD)
    graph = Graph(bench, processes, seeds='[8]', time_limit_s=1.0, point_cloud=True)
    result = until(lambda: graph.results(), what='an episode')[0]
    assert result['steps'] == 20 and result['wall_s'] >= 0.9

    def stamps(rows: list) -> set[int]:
        return {convert.to_ns(m.header.stamp) for _, m in rows}

    # Joint states every 10 ms, pictures every 50 ms, each with a joint state of its own moment.
    # Topics have no order among each other: the last of them may still be on their way.
    moments, pictures = (set(range(50 * MS, 1050 * MS + 1, step * MS)) for step in (10, 50))
    until(lambda: stamps(joints) >= moments, what='a joint state every 10 ms')
    until(lambda: all(stamps(rows) >= pictures for rows in (images, infos, points)),
          what='a picture of each kind every 50 ms')
    assert stamps(joints) == moments
    assert stamps(images) == stamps(infos) == stamps(points) == pictures
    assert images[0][1].header.frame_id == infos[0][1].header.frame_id == 'camera_front_optical'
    depth = np.frombuffer(points[0][1].data, np.float32).reshape(64, 64, 3)[..., 2]
    assert 0.5 < np.median(depth) < 2.0
    assert {convert.to_ns(m.clock) for _, m in clock} <= moments
    efforts = graph.efforts()[0]
    assert len(efforts) > 5 and max(abs(e) for effort in efforts for e in effort) > 0


@pytest.mark.sim
def test_without_the_safety_node_the_simulated_robot_stops(bench: Bench,
                                                           processes: Processes) -> None:
    graph = Graph(bench, processes, seeds='[9]', time_limit_s=30.0)
    until(lambda: len(graph.sent) > 3, what='commands')
    os.kill(graph.safety.pid, signal.SIGKILL)
    until(lambda: 'zero residual: effort_controller/commands' in graph.sim.log.read_text(),
          what='the watchdog')


@pytest.mark.sim
def test_an_episode_waits_for_everyone(bench: Bench, processes: Processes) -> None:
    joints = bench.record(JointState, 'joint_states', qos.RECORD)
    said = bench.record(String, 'sim/episode', qos.EPISODES)
    processes.node('sim_node', seeds='[3]', time_limit_s=0.3)
    until(lambda: len(joints) >= 3, what='the first observation, again and again')
    assert {convert.to_ns(m.header.stamp) for _, m in joints} == {50 * MS}
    assert [json.loads(m.data)['status'] for _, m in said] == ['running']
    processes.start(SCRIPTED, autostart=True)
    processes.node('safety_node', simulation=True)
    until(lambda: len(said) == 2, what='the end of the episode')


def test_an_unknown_task_is_one_sentence(processes: Processes) -> None:
    process = processes.node('sim_node', task='juggle')
    assert process.wait(timeout=60) == 1
    assert process.log.read_text().splitlines()[-1].startswith("error: task 'juggle' is unknown")
