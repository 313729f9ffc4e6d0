"""A graph to break: simulator, strict gate and policy as processes, a relay to spoil inputs."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState, GetState
from ros_bench import Bench, Processes, until
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import SetBool, Trigger

from gato_ros.config import data_path, read_yaml
from gato_ros.nodes.common import qos
from gato_ros.robot import load_robot

ROBOT = load_robot('panda_sim')
WAVING = str(Path(__file__).with_name('waving_policy.py'))
CAMERA = str(Path(__file__).with_name('camera_source.py'))
WRIST = next(c.topic for c in ROBOT.cameras if c.name == 'wrist')
CONFIGURE, ACTIVATE, DEACTIVATE = 1, 3, 4  # of lifecycle_msgs/Transition
ARM = 'effort_controller/commands'
# `make test` runs anywhere, so ages are this much longer than on a robot; `make faults` says 1.
SLOW = float(os.environ.get('GATO_SLOW', '5'))
LIMIT = np.array([j.scale for j in ROBOT.joints[:7]])


class Plant:
    """Starts everything, enabled and moving; ``spoil`` maps a topic to what becomes of a message.

    The simulator's sensors go through a relay of this process, so that any input can be broken:
    spoil['joint_states'] = lambda msg: [msg, msg]

    relay   false: the sensors go straight to the nodes, and this process only watches
    driver  the wrist camera has a process of its own, ``camera``
    """

    def __init__(self, bench: Bench, processes: Processes, policy: tuple[str, ...] = (WAVING,),
                 relay: bool = True, driver: bool = False, **safety: Any) -> None:
        self._bench, self._processes, self._policy = bench, processes, policy
        self.wire = bench.record(Float64MultiArray, ARM, qos.RECORD)
        self.said = bench.record(DiagnosticArray, '/diagnostics', qos.RECORD)
        self.sent = bench.record(JointState, 'sent_effort', qos.RECORD)
        self.spoil: dict[str, Callable[[Any], list]] = {}
        topics = [('joint_states', JointState), *((c.topic, Image) for c in ROBOT.cameras)]
        remaps = []
        if driver:
            topics.remove((WRIST, Image))
            remaps += ['-r', f'{WRIST}:=lens/{WRIST}']
            self.start_camera()
        for topic, kind in topics if relay else ():
            publisher = bench.publisher(kind, topic, qos.SENSORS)
            bench.node.create_subscription(
                kind, f'raw/{topic}', partial(self._relay, topic, publisher), qos.JOINTS)
            remaps += ['-r', f'{topic}:=raw/{topic}']
        self._remaps = remaps
        self.start_simulator()
        self.robot = self._slow_robot(processes.folder)
        self._ages = {
            'robot': self.robot, 'stale_periods': min(2.0 * SLOW, 20.0),
            'heartbeat_max_age_s': min(0.06 * SLOW, 2.0), 'deadline_s': min(0.05 * SLOW, 2.0),
            'observation_max_age_s': min(0.3 * SLOW, 2.0), **safety}
        self.start_safety()
        self.policy: subprocess.Popen | None = None
        self._clients = {
            'enable': bench.node.create_client(SetBool, 'safety/enable'),
            'clear_fault': bench.node.create_client(Trigger, 'safety/clear_fault'),
            'where': bench.node.create_client(GetState, 'policy/get_state'),
            'change': bench.node.create_client(ChangeState, 'policy/change_state')}
        self.start_policy()

    def _relay(self, topic: str, publisher: Any, msg: Any) -> None:
        for out in self.spoil.get(topic, lambda same: [same])(msg):
            publisher.publish(out)

    def _slow_robot(self, folder: Path) -> Path:
        """Return the simulated robot's file with ages that suit this machine."""
        robot = read_yaml(data_path('config', 'robots', 'panda_sim.yaml'))
        robot['joint_states_max_age_s'] *= SLOW
        for camera in robot['cameras']:
            camera['max_age_s'] *= SLOW
        path = folder / 'panda_sim.yaml'
        path.write_text(yaml.safe_dump(robot))
        return path

    def start_simulator(self) -> None:
        """Start the simulator's process, which stands for the robot's driver."""
        self.simulator = self._processes.start(
            '-m', 'gato_ros.nodes.simulator.sim_node', '--ros-args', *self._remaps,
            seeds='[0]', wait=False, time_limit_s=86_400.0)

    def start_camera(self) -> None:
        """Start the process of the wrist camera."""
        self.camera = self._processes.start(CAMERA, WRIST)

    def start_safety(self) -> None:
        """Start the gate's process."""
        self.safety = self._processes.node('safety_node', **self._ages)

    def start_policy(self) -> None:
        """Start the policy's process and activate it."""
        self.policy = self._processes.start(*self._policy, robot=self.robot)
        self.change(CONFIGURE, 'inactive')
        self.change(ACTIVATE, 'active')

    def change(self, transition: int, goal: str) -> None:
        """Ask for a transition until the policy is in the state ``goal``."""
        def there() -> bool:
            answer = self._call('where', GetState.Request())
            if answer is not None and answer.current_state.label == goal:
                return True
            self.ask(transition)
            return False
        until(there, 180.0, what=f'the state {goal}')  # it may have torch to load

    def ask(self, transition: int) -> Any:
        """Ask for a transition once."""
        request = ChangeState.Request()
        request.transition.id = transition
        return self._call('change', request)

    def enable(self, on: bool = True) -> Any:
        return self._call('enable', SetBool.Request(data=on))

    def clear(self) -> Any:
        return self._call('clear_fault', Trigger.Request())

    def _call(self, name: str, request: Any) -> Any:
        """Return the answer; None when none has come, as from a server that has just started."""
        client, deadline = self._clients[name], time.monotonic() + 2.0 * SLOW
        while not client.service_is_ready() and time.monotonic() < deadline:
            time.sleep(0.005)
        future = client.call_async(request)
        while not future.done() and time.monotonic() < deadline:
            time.sleep(0.005)
        return future.result() if future.done() else None

    def recover(self) -> None:
        """Clear and enable until the arm moves, as an operator would; no process is restarted."""
        def moving() -> bool:
            if self.state() == 'fault':
                self.clear()
            if self.state() != 'enabled':
                self.enable()
                time.sleep(0.1)
            return self.state() == 'enabled' and bool(np.any(self.wire[-1][1].data))
        until(moving, what='a moving arm')

    def state(self) -> str:
        return self.value('safety', 'state')

    def value(self, node: str, key: str) -> str:
        for _, msg in reversed(self.said):
            for status in msg.status:
                if status.name == node:
                    return next((v.value for v in status.values if v.key == key), '')
        return ''

    def named(self, words: str, since_s: float) -> float:
        """Wait until a diagnostic holds ``words``; return its delay behind ``since_s``."""
        return until(lambda: [t for t, m in list(self.said) if t > since_s
                              and any(words in s.message for s in m.status)],
                     20.0, what=repr(words))[0] - since_s

    def stopped(self, since_s: float) -> float:
        """Wait for the first zero on the wire that stays; return its delay behind ``since_s``."""
        until(lambda: len(self.wire) > 5 and self.wire[-1][0] > since_s
              and not any(np.any(m.data) for _, m in self.wire[-5:]), 20.0, what='a stop')
        last = max((t for t, m in list(self.wire) if np.any(m.data)), default=since_s)
        return next(t for t, m in list(self.wire) if t > last) - since_s

    def watchdog(self) -> Callable[[], bool]:
        """Return whether the simulated arm has given up waiting for commands since this call."""
        log = self.simulator.log  # type: ignore[attr-defined]
        before = len(log.read_text())
        return lambda: f'zero residual: {ARM}' in log.read_text()[before:]

    def within_limits(self) -> None:
        """Assert that nothing ever left the gate that was not finite or over its limit."""
        values = np.array([m.data for _, m in self.wire])
        assert np.isfinite(values).all() and (np.abs(values) <= LIMIT).all()

    def forget(self) -> None:
        """Keep of what was heard only the newest: a heap that grows makes this process pause."""
        for rows in (self.wire, self.said, self.sent):
            del rows[:-2000]

    def kill(self, process: subprocess.Popen, number: int = signal.SIGKILL) -> float:
        """Send a signal; return the moment."""
        moment = time.monotonic()
        process.send_signal(number)
        return moment
