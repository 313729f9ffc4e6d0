"""Exchanges: a question, or whatever somebody says, and its answer.

Files are YAML, with ``exchanges`` in several wordings, some of which serve evaluation alone,

    exchanges:
    - ask: who are you? | what are you?
      held_out: can you tell me who you are?
      say: I am a policy that stacks blocks.

or with ``conversations`` as chatterbot-corpus has them, of which the first two lines count. Of
these every twentieth opening serves evaluation alone, with all its answers.
"""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gato_ros.config import ConfigError, parse_yaml
from gato_ros.untrusted import MIB, Refused, read_text

EVERY = 20  # of the conversations' openings, one is held out
KEYS = {'ask', 'held_out', 'say'}

Exchange = tuple[str, str]  # what is asked, what is said


def read_exchanges(patterns: Sequence[str], held_out: bool = False) -> list[Exchange]:
    """Return the exchanges of all files that match, for training or the held-out ones.

    Raises ConfigError where there are none, and for a file that holds something else.
    """
    files = sorted({file for pattern in patterns for file in glob.glob(pattern)})
    found = [exchange for file in files for exchange in _read(Path(file), held_out)]
    if not found:
        raise ConfigError(f'dialogue is {", ".join(patterns)}, expected patterns of YAML files; '
                          f'{len(files)} files match and hold no exchanges')
    return found


def _read(file: Path, held_out: bool) -> list[Exchange]:
    try:
        data = parse_yaml(read_text(file, MIB))
    except OSError as error:
        raise ConfigError(f'{file} cannot be read: {error.strerror}') from error
    except Refused as error:
        raise ConfigError(f'{file} is not valid YAML: {error}') from error
    exchanges, conversations = (data.get(key) or [] for key in ('exchanges', 'conversations')
                                ) if isinstance(data, dict) else ([], [])
    if not (isinstance(exchanges, list) and isinstance(conversations, list)
            and exchanges + conversations):
        raise ConfigError(f'{file} has neither exchanges nor conversations, expected a list')
    found = [pair for number, line in enumerate(exchanges, 1)
             for pair in _worded(line, held_out, f'{file}, exchange {number}')]
    for line in conversations:
        if isinstance(line, list) and len(line) > 1:  # that corpus has a line beside a list, too
            ask, say = (_text(one) for one in line[:2])
            if _is_held_out(ask) == held_out:
                found.append((ask, say))
    return found


def _worded(line: Any, held_out: bool, where: str) -> list[Exchange]:
    """Return an exchange in each of its wordings."""
    if not isinstance(line, dict) or not {'ask', 'say'} <= set(line) <= KEYS:
        raise ConfigError(f'{where}: expected ask, say, and held_out or not; wordings with | '
                          'between them')
    asked = _text(line.get('held_out' if held_out else 'ask', '')).split('|')
    return [(ask.strip(), _text(line['say'])) for ask in asked if ask.strip()]


def _text(value: Any) -> str:
    """Return what was written; YAML reads a bare yes or no as true or false."""
    return ' '.join(({True: 'Yes', False: 'No'}[value] if isinstance(value, bool)
                     else str(value)).split())


def _is_held_out(ask: str) -> bool:
    plain = ''.join(letter for letter in ask.lower() if letter.isalnum())
    return hashlib.sha256(plain.encode()).digest()[0] * EVERY < 256
