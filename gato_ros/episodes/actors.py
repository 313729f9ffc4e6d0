"""Who acted when, by the marks in a recording: a person, a policy, or nobody."""

from __future__ import annotations

import json
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path

from gato_ros.episodes.definitions import WORDS
from gato_ros.episodes.mcap_file import read_messages
from gato_ros.episodes.topics import MARK

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


def read_actors(file: Path, namespace: str = '') -> Actors:
    """Read the marks of teleop_node; remarks of other kinds on the topic are let alone.

    Raises BagError for a file that cannot be read.
    """
    topic = f'{namespace}/{MARK}'.strip('/')
    found: dict[int, str] = {}
    for msg in read_messages(file, {topic: WORDS})[topic]:
        try:
            mark = json.loads(msg.data)
            found[int(mark['stamp_ns'])] = str(mark['actor'])
        except (ValueError, TypeError, KeyError):
            continue
    return Actors(tuple(sorted(found)), tuple(found[stamp] for stamp in sorted(found)))
