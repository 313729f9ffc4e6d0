"""What a recording holds, and whether it may become training data.

    found = inspect(Path('demo.mcap'), load_robot('panda_sim'))
    found.refusal        # '' when it may
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from mcap.writer import CompressionType, Writer

from gato_ros.episodes.recordings.alignment import Skew
from gato_ros.episodes.recordings.bag import read_demonstration
from gato_ros.episodes.recordings.definitions import DIAGNOSTICS
from gato_ros.episodes.recordings.episode_file import CHUNK_BYTES, LIBRARY, METADATA
from gato_ros.episodes.recordings.mcap_file import (
    BagError,
    raw_messages,
    read_about,
    read_messages,
    topics_of,
)
from gato_ros.files import whole
from gato_ros.robot import RobotSpec
from gato_ros.untrusted import Refused, parse_json

THUMBNAILS = 6
NUMBER = re.compile(r'\d+(\.\d+)?')


@dataclass(frozen=True)
class Contents:
    """What a recording holds.

    seconds  from the first to the last message
    topics   topic -> messages
    about    what our recorder has noted; {} for a file of somebody else
    """

    file: Path
    seconds: float
    topics: Mapping[str, int]
    about: Mapping[str, str]

    @property
    def lost(self) -> dict[str, int]:
        """Topic -> messages that never arrived, as far as the recorder could count them."""
        try:
            found = parse_json(self.about.get('lost') or '{}')
        except Refused:
            return {}
        return {topic: count for topic, count in found.items() if isinstance(count, int)
                } if isinstance(found, dict) else {}


@dataclass(frozen=True)
class Verdict:
    """Whether a recording may become training data.

    refusal   why not, '' if it may
    blind     share of the time from the first to the last action without an observation
    refused   what the gate refused or changed: the sentence, and how often it was said
    pictures  of each camera, uint8[H, W, 3], evenly spaced
    """

    contents: Contents
    refusal: str = ''
    steps: int = 0
    blind: float = 0.0
    skew: Skew = field(default_factory=Skew)
    refused: Mapping[str, int] = field(default_factory=dict)
    pictures: Mapping[str, list[np.ndarray]] = field(default_factory=dict)


def contents(file: Path) -> Contents:
    """Read and count what is there; BagError for a file that cannot be read."""
    topics: Counter[str] = Counter()
    times: list[int] = []
    for _, channel, message in raw_messages(file):
        topics[channel.topic] += 1
        times = [min(times[0], message.log_time), max(times[1], message.log_time)] if times else [
            message.log_time] * 2
    topics.update(dict.fromkeys(topics_of(file), 0))
    spent = (times[1] - times[0]) * 1e-9 if times else 0.0
    return Contents(file, spent, dict(sorted(topics.items())), read_about(file))


def inspect(file: Path, robot: RobotSpec, namespace: str = '') -> Verdict:
    """Read a recording as training would; BagError only for a file that cannot be read at all."""
    found = contents(file)
    try:
        demonstration = read_demonstration(file, robot, namespace, found.about)
    except BagError as error:
        return Verdict(found, str(error), refused=refusals(file))
    steps = demonstration.steps
    chosen = [steps[round(i)][0] for i in np.linspace(0, len(steps) - 1, THUMBNAILS)]
    pictures = {camera.name: [o.images[camera.name] for o in chosen] for camera in robot.cameras}
    outcome = found.about.get('outcome', '')
    refusal = '' if outcome == 'success' else (
        'it is marked as a failure' if outcome else 'nobody has marked how it ended')
    return Verdict(found, refusal, len(steps), demonstration.rhythm.blind,
                   demonstration.skew, refusals(file), pictures)


def refusals(file: Path) -> dict[str, int]:
    """Return what the gate said when it refused or changed a proposal, and how often.

    Sentences that differ in numbers alone count as the first of them.
    """
    said: dict[str, int] = {}
    first: dict[str, str] = {}
    for msg in read_messages(file, {'diagnostics': DIAGNOSTICS})['diagnostics']:
        for status in msg.status:
            level = status.level if isinstance(status.level, int) else status.level[0]
            if status.name.rpartition('/')[2] == 'safety' and level:
                words = first.setdefault(NUMBER.sub('#', status.message), status.message)
                said[words] = said.get(words, 0) + 1
    return said


def trim(file: Path, out: Path, start_s: float, stop_s: float) -> int:
    """Copy the messages from ``start_s`` to ``stop_s`` after the first one; return their count.

    Raises BagError when nothing is left, when ``out`` exists or cannot be written.
    """
    if out.exists():
        raise BagError(f'{out} exists already, expected a new name')
    about = {**read_about(file), 'trimmed': f'{start_s:g} to {stop_s:g} s of {file.name}'}
    try:
        with whole(out, synced=True) as aside, aside.open('wb') as stream:
            count = _copy(file, stream, about, start_s, stop_s)
            if not count:
                raise BagError(f'{file} has no message from {start_s:g} to {stop_s:g} s, expected '
                               'a range within its length (gato-ros record info)')
    except OSError as error:
        raise BagError(f'{out} cannot be written: {error.strerror or error}; {file} is as it was'
                       ) from error
    return count


def _copy(file: Path, stream: BinaryIO, about: Mapping[str, str], start_s: float,
          stop_s: float) -> int:
    writer = Writer(stream, CHUNK_BYTES, CompressionType.LZ4)
    writer.start('ros2', LIBRARY)
    writer.add_metadata(METADATA, dict(about))
    schemas: dict[str, int] = {}
    channels: dict[int, int] = {}
    first, count = None, 0
    for schema, channel, message in raw_messages(file):
        first = message.log_time if first is None else first
        if not start_s <= (message.log_time - first) * 1e-9 <= stop_s:
            continue
        name = schema.name if schema else ''
        if schema and name not in schemas:
            schemas[name] = writer.register_schema(name, schema.encoding, schema.data)
        if channel.id not in channels:
            channels[channel.id] = writer.register_channel(
                channel.topic, channel.message_encoding, schemas.get(name, 0), channel.metadata)
        writer.add_message(channels[channel.id], message.log_time, message.data,
                           message.publish_time, message.sequence)
        count += 1
    writer.finish()
    return count
