"""Answers questions and captions the scene, beside the control loop.

    ask      String   a question, about what the cameras see where the weights can speak of that
    text     String   the answer, or in one sentence why there is none
    saying   String   what has been said of it so far, at each piece
    caption  String   what is seen, every ``caption_s`` seconds, where that is not 0

A thread of its own, and a context of its own over the policy's weights: a token of words waits for
an action's whole step, never the other way round (policy/turns.py).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np
from rclpy._rclpy_pybind11 import RCLError
from rclpy.node import Node
from std_msgs.msg import String

from gato_ros.nodes.common import qos
from gato_ros.nodes.common.listen import listen
from gato_ros.untrusted import plain

LONGEST = 128  # tokens of an answer
Pictures = Mapping[str, np.ndarray]  # camera -> uint8[H, W, 3]


class Speaker(Protocol):
    """What answers: policy/words.py."""

    @property
    def cameras(self) -> Sequence[str]: ...

    def answer(self, question: str, pictures: Pictures | None = None,
               longest: int | None = None) -> Iterable[str]: ...


class Talker:
    """Hears and answers; ``start`` and ``stop`` frame a policy's life.

    caption_s  seconds between two captions; 0: none
    """

    def __init__(self, node: Node, caption_s: float) -> None:
        self._node, self._caption_s = node, caption_s
        self._text, self._saying, self._caption = (
            node.create_publisher(String, topic, qos.EVENTS)
            for topic in ('text', 'saying', 'caption'))
        self._changed = threading.Condition()
        self._question: str | None = None
        self._pictures: Pictures = {}
        self._stopped = True
        self._thread: threading.Thread | None = None
        listen(node, String, 'ask', lambda msg: self.ask(msg.data), qos.PROMPT, refuse=self.tell)

    def ask(self, question: str) -> None:
        """Answer a question next; of several that wait the newest is answered."""
        with self._changed:
            self._question = question.strip()
            silent = self._stopped
            self._changed.notify()
        if silent:
            self.tell('there is no policy to answer: the node is not configured')

    def show(self, pictures: Pictures) -> None:
        """Take note of what the cameras see now."""
        self._pictures = pictures

    def tell(self, text: str) -> None:
        """Publish a whole answer, or a sentence in its place."""
        self._text.publish(String(data=plain(text)))

    def start(self, begin: Callable[[Sequence[str]], Speaker]) -> None:
        """Answer from now on.

        begin  opens a context that speaks of pictures from some cameras, of words where there are
               none; ValueError where the weights know no such domain
        """
        self._stopped, self._question, self._pictures = False, None, {}
        self._thread = threading.Thread(target=self._live, args=(begin,), name='talker')
        self._thread.start()

    def stop(self) -> None:
        """End; the answer that is being said breaks off."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _live(self, begin: Callable[[Sequence[str]], Speaker]) -> None:
        try:
            self._speak(begin)
        except RCLError:  # the process ends while an answer is being said
            if self._node.context.ok():
                raise

    def _speak(self, begin: Callable[[Sequence[str]], Speaker]) -> None:
        speakers: dict[bool, Speaker] = {}

        def speaker(seeing: bool) -> Speaker:
            if seeing not in speakers:
                speakers[seeing] = begin(list(self._pictures) if seeing else [])
            return speakers[seeing]

        every_s = self._caption_s
        due = time.monotonic() + every_s
        while not self._stopped:
            with self._changed:
                if self._question is None and not self._stopped:
                    self._changed.wait(0.1 if every_s else None)
                question, self._question = self._question, None
            if question:
                self._answer(question, self._pictures, speaker)
            if every_s and self._pictures and time.monotonic() >= due:
                due = time.monotonic() + every_s
                if not self._describe(self._pictures, speaker):
                    every_s = 0.0  # said once, on text

    def _answer(self, question: str, pictures: Pictures,
                speaker: Callable[[bool], Speaker]) -> None:
        """Answer about the pictures, or of weights that do not speak of any from words alone."""
        try:
            try:
                mine = speaker(bool(pictures))
            except ValueError:
                mine = speaker(False)
            said = ''
            for piece in mine.answer(question, pictures if mine.cameras else None, LONGEST):
                if self._stopped:
                    return
                said += piece
                self._saying.publish(String(data=plain(said)))
            self.tell(said)
        except ValueError as error:  # too long a question, or weights that do not speak
            self.tell(str(error))

    def _describe(self, pictures: Pictures, speaker: Callable[[bool], Speaker]) -> bool:
        """Publish a caption; False where the weights have none."""
        try:
            said = ''.join(speaker(True).answer('', pictures, LONGEST))
        except ValueError as error:
            self.tell(f'no caption: {error}')
            return False
        self._caption.publish(String(data=plain(said)))
        return True
