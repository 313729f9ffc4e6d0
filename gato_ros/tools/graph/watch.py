"""One more node, which only watches: what the graph said, cut into episodes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np

from gato_ros.episodes.recordings.actors import PERSON, read_mark
from gato_ros.episodes.recordings.topics import EPISODE, MARK, PROMPT
from gato_ros.robot import RobotSpec
from gato_ros.tools.graph.children import GraphError

LINGER_S = 0.5
SILENCE_S = 120.0  # so long may nothing happen: a slow machine loads torch in half a minute


@dataclass(frozen=True)
class Episode:
    """What was received during one episode, by the stamp of the observation in ns.

    images   camera -> stamp -> uint8[H, W, 3]
    efforts  stamp -> float64[N] that was sent
    steps    stamp -> the policy node's timing message
    ends     steady time of each answer's arrival
    result   the simulator's last word: seed, status, failure, steps, sim_s, wall_s; assisted:
             whether a person has acted
    """

    images: dict[str, dict[int, np.ndarray]]
    efforts: dict[int, np.ndarray]
    steps: dict[int, dict[str, Any]]
    ends: tuple[float, ...]
    result: dict[str, Any]

    def figures(self) -> dict[str, Any]:
        """Return the row of the table."""
        latencies = [step['latency_ms'] for step in self.steps.values()] or [0.0]
        ends = self.ends[1:]  # the first answer may wait for the episode to begin
        rate = (len(ends) - 1) / (ends[-1] - ends[0]) if ends[1:] else 0.0
        return {**self.result, 'answers': len(self.steps), 'rate_hz': round(rate, 2),
                'latency_ms_p50': round(float(np.percentile(latencies, 50)), 1),
                'latency_ms_p99': round(float(np.percentile(latencies, 99)), 1)}


class _Stamped(Protocol):
    header: Any


class Track:
    """The messages of one topic, cut into episodes where stamps jump back."""

    def __init__(self, read: Callable[[Any], Any]) -> None:
        self.parts: list[dict[int, Any]] = []
        self.ends: list[list[float]] = []
        self._read, self._last = read, 0

    def add(self, msg: Any, stamp_ns: int) -> None:
        """Store one message; a message that comes again counts once."""
        if not self.parts or stamp_ns < self._last:
            self.parts.append({})
            self.ends.append([])
        if stamp_ns not in self.parts[-1]:
            self.parts[-1][stamp_ns] = self._read(msg)
            self.ends[-1].append(time.monotonic())
        self._last = stamp_ns

    def part(self, index: int) -> dict[int, Any]:
        return self.parts[index] if index < len(self.parts) else {}


def watch(robot: RobotSpec, episodes: int, begin: Callable[[], None],
          check: Callable[[], None], prompt: str) -> list[Episode]:
    """Record ``episodes`` from the running graph.

    ``begin`` is called once the simulator is there and the policy reports, ``check`` twice a
    second. An episode with another sentence than ``prompt``, which the policy has, is announced.
    """
    import rclpy
    from diagnostic_msgs.msg import DiagnosticArray
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.signals import SignalHandlerOptions
    from sensor_msgs.msg import Image, JointState
    from std_msgs.msg import String

    from gato_ros.nodes.common import convert, qos

    context = rclpy.Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = rclpy.create_node('demo', context=context)
        cameras = {c.name: Track(partial(convert.to_image, camera=c)) for c in robot.cameras}
        efforts = Track(lambda m: convert.to_effort(m, robot, 'sent_effort'))
        steps = Track(lambda m: m)
        results: list[dict[str, Any]] = []
        said, told = prompt, prompt  # the running episode's sentence, and the policy's prompt
        assisted: set[int] = set()
        heard: set[str] = set()  # a node that reports has loaded what it needs

        def on_stamped(track: Track) -> Callable[[_Stamped], None]:
            return lambda msg: track.add(msg, convert.to_ns(msg.header.stamp))

        def on_timing(msg: String) -> None:
            step = json.loads(msg.data)
            steps.add(step, step['stamp_ns'])

        def on_episode(msg: String) -> None:
            nonlocal said
            result = json.loads(msg.data)
            said = result['sentence']
            if result['status'] != 'running':
                results.append({**result, 'assisted': len(results) in assisted})
                print(f'seed {result["seed"]}: {result["failure"] or result["status"]} after '
                      f'{result["sim_s"]:.2f} s', flush=True)

        def on_mark(msg: String) -> None:
            if (read_mark(msg.data) or (0, ''))[1] == PERSON:
                assisted.add(len(results))

        prompts = node.create_publisher(String, PROMPT, qos.PROMPT)
        for camera in robot.cameras:
            node.create_subscription(Image, camera.topic, on_stamped(cameras[camera.name]),
                                     qos.RECORD)
        node.create_subscription(JointState, 'sent_effort', on_stamped(efforts), qos.RECORD)
        node.create_subscription(String, 'policy/timing', on_timing, qos.RECORD)
        node.create_subscription(String, EPISODE, on_episode, qos.EPISODES)
        node.create_subscription(String, MARK, on_mark, qos.EVENTS)
        node.create_subscription(DiagnosticArray, '/diagnostics', lambda msg: heard.update(
            status.name for status in msg.status), qos.EVENTS)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        checked = moved = time.monotonic()
        known, begun = 0, False
        while len(results) < episodes:
            executor.spin_once(timeout_sec=0.1)
            now = time.monotonic()
            if said != told and prompts.get_subscription_count():
                told = said
                prompts.publish(String(data=told))
            if not begun and 'policy' in heard and all(map(node.count_publishers, (
                    EPISODE, 'proposed_effort'))):
                begun = True
                begin()
            if now - checked > 0.5:
                check()
                count = sum(map(len, steps.parts)) + len(results)
                checked, moved, known = now, now if count > known else moved, count
                if now - moved > SILENCE_S:
                    raise GraphError(f'no observation was answered for {SILENCE_S:g} s; the logs '
                                    'of the nodes say more')
        check()
        # Topics have no order among each other: the last answers may come after the last word.
        quiet = time.monotonic() + LINGER_S
        while time.monotonic() < quiet:
            executor.spin_once(timeout_sec=0.05)
        node.destroy_node()
    finally:
        rclpy.try_shutdown(context=context)
    return [Episode({name: track.part(i) for name, track in cameras.items()}, efforts.part(i),
                    steps.part(i), tuple(steps.ends[i]) if i < len(steps.ends) else (), result)
            for i, result in enumerate(results)]
