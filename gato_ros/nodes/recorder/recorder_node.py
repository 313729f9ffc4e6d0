"""Records demonstrations: one MCAP file an episode, whole or recoverable whatever happens.

    in   all topics of the robot's YAML file, proposals, what was sent, prompt, /diagnostics,
         recorder/mark (String: an operator's remark), sim/episode
    out  /diagnostics
    srv  ~/start, ~/discard (Trigger), ~/save (SetBool: whether it was a success)

Callbacks only queue the serialised bytes; one worker thread owns the files.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

from gato_ros.config import ConfigError
from gato_ros.episodes.prompts import sentence_of
from gato_ros.episodes.recordings.session import MB, Session
from gato_ros.episodes.recordings.topics import EPISODE, PROMPT, recorded
from gato_ros.nodes.common import diagnostics
from gato_ros.nodes.common.listen import fields, read
from gato_ros.nodes.common.params import ROBOT, Param, declare
from gato_ros.nodes.common.run import run
from gato_ros.nodes.common.scheduling import RECORDER, SCHEDULING, take
from gato_ros.nodes.recorder.listening import Listening
from gato_ros.robot import load_robot
from gato_ros.untrusted import Refused, plain

YOUNG_S = 2.0  # a recording whose clock goes back so early has begun with the scene before
ANSWER_S = 60.0  # for the disk to do what a service asks
LINGER_S = 0.5  # topics have no order among each other: the last answer comes after the last word
SENTENCE = 1000  # characters of a sentence that is kept
WRITING_S = 3.0  # for a slow disk to take the rest when the node ends
EPISODE_FIELDS = {'task': str, 'sentence': str, 'status': str}
STATUSES = {'success': 'success', 'failed': 'failure'}  # as the simulator and as recordings say it
PARAMS = (
    ROBOT,
    SCHEDULING,
    Param('folder', 'demos', 'Where the recordings go; what a crash left open is recovered.'),
    Param('task', '', "The task's name, such as stack_wide."),
    Param('sentence', '', "What is shown, in words; '': the prompt that was heard, or before one "
          "what the simulator says."),
    Param('source', 'teleoperation', 'Who acts.', choices=('teleoperation', 'expert', 'policy')),
    Param('follow_simulator', False, 'Record every episode of the simulator, with its outcome.'),
    Param('min_free_mb', 1000, 'MB of free disk below which nothing is recorded.', 1, 1_000_000),
    Param('buffer_mb', 256, 'MB that may wait for the disk; what comes then is lost and counted.',
          1, 100_000),
)


class RecorderNode(Node):
    """Subscriptions that queue, and the worker that writes."""

    def __init__(self) -> None:
        super().__init__('recorder')
        self._params = params = declare(self, PARAMS)
        take(self, params.scheduling, RECORDER, lock_step=False)
        robot = load_robot(params.robot)
        about = {'source': params.source, 'ros': os.environ.get('ROS_DISTRO', ''),
                 'parameters': json.dumps(vars(params))}
        offers: dict[str, str] = {}
        self._session = Session(robot, Path(params.folder), about, params.min_free_mb, offers)
        for done in self._session.recover():
            self.get_logger().warning(
                f'{done.source.name} was left open: {done.messages} messages recovered, '
                f'{done.lost} bytes lost')
        self._sentence, self._message = params.sentence, 'ready'
        self._pending: tuple[str, float] | None = None  # outcome, and when to save with it
        self._queue: queue.SimpleQueue[Callable[[], Any] | None] = queue.SimpleQueue()
        self._waiting, self._lock = 0, threading.Lock()
        self._ticked_s = self._started_s = 0.0
        self._diagnostics = diagnostics.Diagnostics(self, 'recorder', robot.name)
        self._listening = Listening(self, recorded(robot), self._hear, offers)
        self.create_service(Trigger, '~/start', self._on_start)
        self.create_service(SetBool, '~/save', self._on_save)
        self.create_service(Trigger, '~/discard', self._on_discard)
        self.create_timer(1.0, self._report, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self.failure: BaseException | None = None
        self._worker = threading.Thread(target=self._live, name='recorder')
        self._worker.start()

    def _hear(self, topic: str, data: bytes, log_ns: int, publish_ns: int, number: int) -> None:
        with self._lock:
            full = self._waiting + len(data) > self._params.buffer_mb * MB
            self._waiting += 0 if full else len(data)
        if full:
            self._session.lost[topic] += 1
            self.get_logger().error(f'{topic}: a message is lost, the disk is too slow '
                                    '(parameter buffer_mb)', throttle_duration_sec=1.0)
            return
        self._queue.put(partial(self._write, topic, data, log_ns, publish_ns, number))

    # Services: the worker does it, in the messages' order, and says how it went.

    def _on_start(self, _: Any, response: Any) -> Any:
        return self._answer(response, self._start)

    def _on_save(self, request: Any, response: Any) -> Any:
        return self._answer(response,
                            partial(self._save, 'success' if request.data else 'failure'))

    def _on_discard(self, _: Any, response: Any) -> Any:
        return self._answer(response, lambda: f'discarded {self._session.discard().name}')

    def _answer(self, response: Any, work: Callable[[], str]) -> Any:
        done: Future[str] = Future()

        def act() -> None:
            try:
                done.set_result(work())
            except (ConfigError, OSError) as error:
                done.set_exception(error)

        self._queue.put(act)
        deadline = time.monotonic() + ANSWER_S
        while not wait((done,), 0.1).done and self.context.ok() and time.monotonic() < deadline:
            pass
        try:
            response.message, response.success = done.result(timeout=0.0), True
        except (TimeoutError, FutureTimeoutError):  # one and the same from Python 3.11 on
            response.message, response.success = (
                f'the disk has not answered for {ANSWER_S:g} s', False)
        except (ConfigError, OSError) as error:
            response.message, response.success = str(error), False
        self._message = response.message
        self._report()
        return response

    # The worker's.

    def _live(self) -> None:
        try:
            while True:
                try:
                    work = self._queue.get(timeout=0.1)
                except queue.Empty:
                    work = self._tick
                if work is None:
                    break
                work()
                self._tick()
        except Exception as error:  # nobody else would see it
            self.failure = error
            self.context.try_shutdown()
        if self._session.take is not None:
            self._save(self._pending[0] if self._pending else '', 'the recorder was stopped')

    def _tick(self) -> None:
        now = time.monotonic()
        if self._session.take is None:
            self._pending = None
        elif self._pending and now >= self._pending[1]:
            self._save(self._pending[0])
        if now - self._ticked_s >= 1.0:
            self._ticked_s = now
            if why := self._session.tick():
                self._end(why)

    def _write(self, topic: str, data: bytes, log_ns: int, publish_ns: int, number: int) -> None:
        with self._lock:
            self._waiting -= len(data)
        try:
            if topic == PROMPT and not self._params.sentence:
                self._heed(read(data, String, topic).data)
            episode = self._episode(read(data, String, topic).data) if topic == EPISODE else None
            if episode and self._params.follow_simulator:
                self._follow(episode)
            why = self._session.write(topic, log_ns, data, publish_ns, number)
        except Refused as error:  # of somebody else's making: no reason to end
            self._message = plain(f'{topic}: a message that cannot be read: {error}')
            self.get_logger().warning(self._message, throttle_duration_sec=1.0)
            return
        if why:
            young = time.monotonic() - self._started_s < YOUNG_S
            if young:
                self._session.discard()
            else:
                self._end(why)
            if young or self._params.follow_simulator:  # the next episode has begun
                self._start()
                self._session.write(topic, log_ns, data, publish_ns, number)

    def _heed(self, words: str) -> None:
        """Note the sentence of a prompt; the policy refuses what cannot be read."""
        with suppress(ValueError):
            self._sentence = sentence_of(words, Path(self._params.folder))[:SENTENCE]

    def _episode(self, words: str) -> dict[str, Any]:
        """Return what the simulator says of its episode; Refused for words that say nothing."""
        episode = fields(words, EPISODE_FIELDS)
        if missing := EPISODE_FIELDS.keys() - episode.keys():
            raise Refused(f'{", ".join(sorted(missing))} missing')
        self._sentence = self._sentence or episode['sentence']
        return episode

    def _follow(self, episode: dict[str, Any]) -> None:
        """Begin and end with the simulator's episodes."""
        if episode['status'] != 'running':
            self._pending = STATUSES.get(episode['status'], ''), time.monotonic() + LINGER_S
            return
        self._params.task, self._sentence = episode['task'], episode['sentence']
        if self._pending and self._session.take is not None:
            self._save(self._pending[0])
        if self._session.take is None:
            self._start()

    def _start(self) -> str:
        file = self._session.start(self._sentence, self._params.task)
        self._started_s = time.monotonic()
        self._message = f'recording {file.name}'
        return self._message

    def _save(self, outcome: str, note: str = '') -> str:
        self._pending = None
        saved = self._session.save(outcome, note)
        self._message = f'saved {saved.file.name}: {saved.messages} messages, ' + (
            f'{100 * saved.blind:.0f} % of the time without an observation') + (
            f'; no training data: {saved.refusal}' if saved.refusal else '')
        self.get_logger().info(self._message)
        return self._message

    def _end(self, why: str) -> None:
        """Save what is open because it cannot go on."""
        self._save(self._pending[0] if self._pending else '', why)
        self._message = f'{self._message}; it ended because {why}'
        self.get_logger().warning(why)

    def _report(self) -> None:
        take = self._session.take
        lost = dict(self._session.lost)
        self._diagnostics.publish(
            diagnostics.WARN if lost else diagnostics.OK, self._message,
            {'recording': take.file.name if take else '', 'messages': take.messages if take else 0,
             'mb': round(take.bytes / MB, 1) if take else 0, 'lost': json.dumps(lost),
             'free_mb': self._session.free_mb, 'folder': self._params.folder})

    def close(self) -> None:
        """Save what is open; what a slow disk does not take in time stays as its .part."""
        self._queue.put(None)
        self._worker.join(timeout=WRITING_S)


def main() -> int:
    """Run the node's process."""
    return run(RecorderNode)


if __name__ == '__main__':
    sys.exit(main())
