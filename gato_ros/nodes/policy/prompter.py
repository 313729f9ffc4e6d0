"""What the policy is told: words, or a demonstration, which is read beside the control loop.

    prompter = Prompter(robot, Path('demos'))
    prompter.put('stack the red block on the blue block')
    prompter.put('pick.mcap#first')         # holds as soon as it is read; until then the former
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path

from rclpy.parameter import Parameter

from gato_ros.config import ConfigError
from gato_ros.episodes.prompts import is_demonstration, load_prompt
from gato_ros.robot import RobotSpec
from gato_ros.tokens.sequence import Prompt

READ_S = 20.0  # for a demonstration to be read
LONGEST = 1000  # characters of a prompt: a window holds about as many tokens


class Prompter:
    """Holds the prompt in force; thread-safe.

    folder   where a demonstration's relative name is looked up
    words    how the prompt in force was asked for
    prompt   what stands for it: a sentence, or a demonstration's tokens; '' before the first
    number   of the prompt in force; another number, another prompt
    refusal  why the newest that was asked for does not hold, in a sentence; '' when it does
    """

    def __init__(self, robot: RobotSpec, folder: Path) -> None:
        self.words, self.refusal, self.number = '', '', 0
        self.prompt: Prompt = ''
        self._robot, self._folder = robot, folder
        self._asked = 0
        self._lock, self._reading = threading.Lock(), threading.Lock()
        self._reader: threading.Thread | None = None

    def load(self, words: str) -> Prompt:
        """Return what these words stand for; ConfigError for what is refused."""
        try:
            return load_prompt(words, self._robot, folder=self._folder)
        except ValueError as error:
            raise ConfigError(f'the prompt {words!r} is refused: {error}') from error

    def put(self, words: str) -> None:
        """Ask for a prompt; a sentence holds at once."""
        if len(words) > LONGEST:
            self.refuse(f'the prompt has {len(words)} characters, expected at most {LONGEST}')
            return
        with self._lock:
            self._asked += 1
            asked = self._asked
        if not is_demonstration(words):
            self._settle(asked, words, words)
            return
        self._reader = threading.Thread(target=self._read, args=(asked, words), daemon=True)
        self._reader.start()

    def refuse(self, why: str) -> None:
        """Take note of a prompt that cannot even be read; the former holds."""
        with self._lock:
            self._asked += 1
            self.refusal = why

    def follow(self, parameters: Sequence[Parameter]) -> None:
        """Ask for what the node's parameter ``prompt`` says, if it is among these."""
        for parameter in parameters:
            if parameter.name == 'prompt':
                self.put(parameter.value)

    def wait(self) -> None:
        """Return when all that was asked for has been read or refused, or takes too long."""
        if self._reader is not None:
            self._reader.join(READ_S)

    @property
    def identity(self) -> str:
        """The first digits of the hash of what is pinned."""
        found = hashlib.sha256()
        for part in [self.prompt.encode()] if isinstance(self.prompt, str) else (
                data.tobytes() for block in self.prompt for data in (block.ids, block.patches)):
            found.update(part)
        return found.hexdigest()[:12]

    def _read(self, asked: int, words: str) -> None:
        if not self._reading.acquire(timeout=READ_S):  # one at a time, whoever asks how often
            self._decline(asked, f'the prompt {words!r} is refused: the one before it is still '
                                 f'being read after {READ_S:g} s')
            return
        try:
            if asked == self._asked:
                self._settle(asked, words, self.load(words))
        except ConfigError as error:
            self._decline(asked, str(error))
        finally:
            self._reading.release()

    def _decline(self, asked: int, why: str) -> None:
        with self._lock:
            if asked == self._asked:
                self.refusal = why

    def _settle(self, asked: int, words: str, prompt: Prompt) -> None:
        with self._lock:
            if asked == self._asked:
                self.words, self.prompt, self.number, self.refusal = words, prompt, asked, ''
