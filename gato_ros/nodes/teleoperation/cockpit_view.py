"""What the cockpit shows and asks for: the graph's newest words, pictures as JPEG, services."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

from gato_ros.episodes.prompts import lies_in
from gato_ros.episodes.recordings.mcap_file import read_about
from gato_ros.nodes.common import convert, qos
from gato_ros.nodes.common.listen import STATUS, fields, listen
from gato_ros.nodes.sensing.mailbox import Letter
from gato_ros.nodes.teleoperation.host import Host
from gato_ros.untrusted import SHOWN, Refused, parse_json, plain

LEVELS = {b'\x00': 'ok', b'\x01': 'warn', b'\x02': 'error', b'\x03': 'stale'}
NAMES, VALUE = 64, 16_384  # of diagnostics: names that are kept, values of each; characters of one
# What a page shows of texts that hold JSON.
TIMING = {'stamp_ns': int, 'latency_ms': float, 'tokens': list, 'window': int}
EPISODE_FIELDS = {'seed': int, 'task': str, 'sentence': str, 'status': str, 'failure': str}
LISTED = 200  # newest demonstrations that a page offers
WORDS = 30  # newest warnings that a page gets when it opens
ANSWER_S = 30.0
# What a page may ask for -> the service, its type and its answer to yes or no.
SERVICES: dict[str, tuple[str, Any]] = {
    'record': ('recorder/start', Trigger), 'save': ('recorder/save', SetBool),
    'discard': ('recorder/discard', Trigger), 'enable': ('safety/enable', SetBool),
    'stop': ('safety/stop', Trigger), 'clear': ('safety/clear_fault', Trigger),
    'scene': ('sim/next', Trigger)}


class View:
    """Subscriptions of the cockpit's own, in the teleop node."""

    def __init__(self, node: Host, quality: int = 85) -> None:
        self._node, self._quality = node, quality
        self._cameras = {camera.name: camera for camera in node.robot.cameras}
        self._pictures: dict[str, tuple[Letter | None, bytes]] = {}
        self._sent: JointState | None = None
        self._timing: dict[str, Any] = {}
        self._status: dict[str, dict[str, Any]] = {}
        self._episode: dict[str, Any] = {}
        self._numbered = 0
        self._words: deque[dict[str, Any]] = deque(maxlen=WORDS)
        self._prompt = node.create_publisher(String, 'prompt', qos.PROMPT)
        self._clients = {key: node.create_client(kind, name)
                         for key, (name, kind) in SERVICES.items()}
        listen(node, JointState, 'sent_effort', self._on_sent, qos.EVENTS)
        listen(node, String, 'policy/timing', self._on_timing, qos.EVENTS, STATUS)
        listen(node, String, 'sim/episode', self._on_episode, qos.EPISODES)
        listen(node, DiagnosticArray, '/diagnostics', self._on_diagnostics, qos.EVENTS, STATUS)

    def _on_sent(self, msg: JointState) -> None:
        self._sent = msg

    def _on_timing(self, msg: String) -> None:
        with suppress(Refused):  # of somebody else's making
            self._timing = fields(msg.data, TIMING)

    def _on_episode(self, msg: String) -> None:
        with suppress(Refused):
            self._episode = fields(msg.data, EPISODE_FIELDS)

    def _torques(self) -> list[float]:
        with suppress(convert.ConvertError):
            if self._sent is not None:
                return convert.to_effort(self._sent, self._node.robot, 'sent_effort').tolist()
        return []

    def _on_diagnostics(self, msg: DiagnosticArray) -> None:
        """Keep each status: ``safety`` of this namespace, ``/safety`` and such of others."""
        own = f'{self._node.get_namespace()}/'.lstrip('/')
        for status in msg.status[:NAMES]:
            name, message = plain(status.name, SHOWN), plain(status.message)
            name = name[len(own):] if name.startswith(own) else f'/{name}'
            level = LEVELS.get(status.level, 'error')
            former = self._status.pop(name, {})
            values = {item.key[:SHOWN]: item.value[:VALUE] for item in status.values[:NAMES]}
            self._status[name] = {**values, 'level': level, 'message': message}
            if len(self._status) > NAMES:  # whoever has said nothing for longest is forgotten
                del self._status[next(iter(self._status))]
            if level != 'ok' and message != former.get('message'):
                self._numbered += 1
                self._words.append({'number': self._numbered, 'who': name, 'level': level,
                                    'words': message})

    def state(self, since: int = 0) -> dict[str, Any]:
        """Return what changes; of the warnings those after number ``since``."""
        node = self._node
        tool = node.tool()
        return {'tool': tool.round(4).tolist() if tool is not None else [],
                'positions': node.positions(), 'torques': self._torques(), 'policy': self._timing,
                'status': dict(self._status), 'episode': self._episode,
                'holder': node.control.holder, 'policy_on': node.policy_on,
                'actor': node.actor, 'scenes': self._clients['scene'].service_is_ready(),
                'words': [word for word in list(self._words) if word['number'] > since]}

    def picture(self, camera: str) -> tuple[Letter | None, bytes]:
        """Return the newest picture and its JPEG, which is made once for all pages."""
        letter = self._node.inputs.newest(camera)
        former, data = self._pictures.get(camera, (None, b''))
        if letter is None or letter is former:
            return former, data
        try:
            image = letter.value.image()
        except convert.ConvertError:  # the policy says it, and the page shows that
            return former, data
        done, coded = cv2.imencode('.jpg', image[:, :, ::-1],
                                   [cv2.IMWRITE_JPEG_QUALITY, self._quality])
        if done:
            self._pictures[camera] = letter, coded.tobytes()
        return self._pictures.get(camera, (former, data))

    def prompts(self) -> dict[str, list[str]]:
        """Return what may be said: files, the newest first, and sentences.

        Files are the recordings that are not marked as failures. Sentences are what these show,
        what the policy was trained on and what the simulator's scene asks for.
        """
        folder = Path(self._node.params.folder)
        files = [file for file in folder.glob('*.mcap') if lies_in(file, folder)]
        newest = sorted(((last_change(file), file) for file in files), reverse=True)[:LISTED]
        shown = {file.name: words for change, file in newest
                 if (words := shown_by(file, change)) is not None}
        sentences = {*shown.values(), str(self._episode.get('sentence', '')),
                     *words_of(self._status.get('policy', {}).get('sentences', ''))}
        return {'files': list(shown), 'sentences': sorted(sentences - {''})}

    def cameras(self) -> Sequence[str]:
        """Return the cameras' names."""
        return list(self._cameras)

    def say(self, words: str) -> None:
        """Publish a prompt."""
        self._prompt.publish(String(data=words))

    def remark(self, words: str) -> str:
        """Put an operator's words into the recording that is open, and say what became of them."""
        if not self._status.get('recorder', {}).get('recording'):
            return f'nothing is being recorded, so the remark {words!r} is not kept'
        self._node.remark(words)
        return f'noted: {words}'

    async def ask(self, what: str, yes: bool = True) -> str:
        """Call a service and return its answer in words."""
        name, kind = SERVICES[what]
        client = self._clients[what]
        if not client.service_is_ready():
            return f'nobody offers {name}: its node does not run'
        request = kind.Request(data=yes) if kind is SetBool else kind.Request()
        future, deadline = client.call_async(request), time.monotonic() + ANSWER_S
        while not future.done():
            if time.monotonic() > deadline:
                return f'{name} has not answered for {ANSWER_S:g} s'
            await asyncio.sleep(0.01)
        return future.result().message or f'{name}: done'


@lru_cache(maxsize=4 * LISTED)
def shown_by(file: Path, change: float) -> str | None:
    """Return the sentence of a file as written then; '' if unknown, None for a failure."""
    with suppress(ValueError):
        about = read_about(file)
        return None if about.get('outcome') == 'failure' else about.get('sentence', '')
    return ''


def words_of(text: str) -> list[str]:
    """Return the sentences that a policy tells of; none where the text is no list."""
    with suppress(ValueError):
        found = parse_json(text, STATUS)
        return [plain(str(one), SHOWN) for one in found] if isinstance(found, list) else []
    return []


def last_change(file: Path) -> float:
    """Return when a file was written; 0 for one that has gone."""
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0
