"""What a page asks a policy and hears of it: a transcript that grows while the policy speaks.

    ask      String   out: a question; those of others are heard too
    saying   String   in: the answer so far
    text     String   in: the whole answer, or a sentence in its place
    caption  String   in: what the cameras see

policy/talker.py answers. A transcript of several pages is one: what one asks all may read.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from typing import Any

from rclpy.node import Node
from std_msgs.msg import String

from gato_ros.nodes.common import qos
from gato_ros.nodes.common.listen import listen
from gato_ros.nodes.teleoperation.host import Host
from gato_ros.untrusted import plain

LINES = 30  # of the transcript
LONGEST = 1000  # characters of a question


class Talk:
    """Keeps the newest lines; ``since`` tells what has changed."""

    def __init__(self, node: Node | Host) -> None:
        self._changes, self._numbers = itertools.count(1), itertools.count(1)
        self._lock = threading.Lock()  # the node's thread hears, the server's reads
        self._lines: deque[dict[str, Any]] = deque(maxlen=LINES)
        self._growing: dict[str, Any] | None = None  # the answer that is being said
        self._caption: dict[str, Any] = {'words': '', 'change': 0}
        self._ask = node.create_publisher(String, 'ask', qos.PROMPT)
        listen(node, String, 'ask', self._on_ask, qos.PROMPT)
        listen(node, String, 'saying', lambda msg: self._hear(msg.data, whole=False), qos.EVENTS)
        listen(node, String, 'text', lambda msg: self._hear(msg.data, whole=True), qos.EVENTS)
        listen(node, String, 'caption', self._on_caption, qos.EVENTS)

    def ask(self, question: str) -> str:
        """Ask a question; return '' or, in a sentence, why it cannot be asked."""
        if len(question) > LONGEST:
            return f'the question has {len(question)} characters, expected at most {LONGEST}'
        if not question.strip():
            return 'the question is empty, expected words'
        if self._ask.get_subscription_count() < 2:  # one of them is ours
            return 'nobody answers questions: the policy node does not run'
        self._ask.publish(String(data=question))
        return ''

    def since(self, change: int) -> tuple[int, dict[str, Any]]:
        """Return the newest change's number, and what has changed after number ``change``.

        lines    of {number, who: person or policy, words}; a number seen before has grown
        caption  where there is a new one
        """
        with self._lock:
            lines = [dict(line) for line in self._lines if line['change'] > change]
            newest = max([change, *(line['change'] for line in lines), self._caption['change']])
            found: dict[str, Any] = {'lines': lines} if lines else {}
            if self._caption['change'] > change:
                found['caption'] = self._caption['words']
        return newest, found

    def _add(self, who: str, words: str) -> dict[str, Any]:
        line = {'number': next(self._numbers), 'who': who, 'words': plain(words, LONGEST),
                'change': next(self._changes)}
        self._lines.append(line)
        return line

    def _on_ask(self, msg: String) -> None:
        with self._lock:
            self._add('person', msg.data)

    def _hear(self, words: str, whole: bool) -> None:
        with self._lock:
            if self._growing is None:
                self._growing = self._add('policy', words)
            else:
                self._growing.update(words=plain(words, LONGEST), change=next(self._changes))
            if whole:
                self._growing = None

    def _on_caption(self, msg: String) -> None:
        with self._lock:
            self._caption = {'words': plain(msg.data), 'change': next(self._changes)}
