"""The marks in a recording: who acted when (a person, a policy, nobody), and remarks."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path

from gato_ros.episodes.recordings.definitions import WORDS
from gato_ros.episodes.recordings.mcap_file import read_messages
from gato_ros.episodes.recordings.topics import MARK
from gato_ros.untrusted import parse_json

PERSON = 'person'


@dataclass(frozen=True)
class Actors:
    """Stamps in ns, which rise, and who acts from each on."""

    stamps: tuple[int, ...] = ()
    names: tuple[str, ...] = ()

    def at(self, stamp: int) -> str:
        """Return who acted; before the first mark a person, unless that is when one began."""
        place = bisect_right(self.stamps, stamp) - 1
        if place >= 0:
            return self.names[place]
        return '' if self.names[:1] == (PERSON,) else PERSON

    @property
    def person(self) -> bool:
        """Whether a person acted at all, as far as the marks say."""
        return PERSON in self.names


def read_mark(words: str) -> tuple[int, str] | None:
    """Return stamp and actor of one mark of teleop_node; None for an operator's remark."""
    try:
        mark = parse_json(words)
        return int(mark['stamp_ns']), str(mark['actor'])
    except (ValueError, TypeError, LookupError, OverflowError):
        return None


def read_actors(file: Path, namespace: str = '') -> Actors:
    """Read the marks of a recording; BagError for a file that cannot be read."""
    found = dict(filter(None, map(read_mark, _words(file, namespace))))
    return Actors(tuple(sorted(found)), tuple(found[stamp] for stamp in sorted(found)))


def read_remarks(file: Path, namespace: str = '') -> list[str]:
    """Return what operators said while it was recorded; BagError as above."""
    return [words for words in _words(file, namespace) if read_mark(words) is None]


def _words(file: Path, namespace: str) -> list[str]:
    topic = f'{namespace}/{MARK}'.strip('/')
    return [msg.data for msg in read_messages(file, {topic: WORDS})[topic]]
