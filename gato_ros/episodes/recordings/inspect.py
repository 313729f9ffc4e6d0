"""What a recording holds, and whether it may become training data.

    found = inspect(Path('demo.mcap'), load_robot('panda_sim'))
    found.refusal        # '' when it may
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

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
    reading,
    summary_of,
)
from gato_ros.files import whole
from gato_ros.robot import RobotSpec

THUMBNAILS = 6
NUMBER = re.compile(r'\d+(\.\d+)?')


@dataclass(frozen=True)
class Contents:
    """What the index of a recording says.

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
        return json.loads(self.about.get('lost') or '{}')


@dataclass(frozen=True)
class Verdict:
    """Whether a recording may become training data.

    refusal   why not, '' if it may
    refused   what the gate refused or changed: the sentence, and how often it was said
    pictures  of each camera, uint8[H, W, 3], evenly spaced
    """

    contents: Contents
    refusal: str = ''
    steps: int = 0
    skew: Skew = field(default_factory=Skew)
    refused: Mapping[str, int] = field(default_factory=dict)
    pictures: Mapping[str, list[np.ndarray]] = field(default_factory=dict)


def contents(file: Path) -> Contents:
    """Read the index; BagError for a file that cannot be read."""
    with reading(file) as reader:
        summary = summary_of(reader, file)
        counts = summary.statistics.channel_message_counts if summary.statistics else {}
        topics = {c.topic: counts.get(c.id, 0) for c in summary.channels.values()}
        times = summary.statistics
        spent = (times.message_end_time - times.message_start_time) * 1e-9 if times else 0.0
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
    return Verdict(found, refusal, len(steps), demonstration.skew, refusals(file), pictures)


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

    Raises BagError when nothing is left or when ``out`` exists.
    """
    if out.exists():
        raise BagError(f'{out} exists already, expected a new name')
    count = 0
    with reading(file) as reader, whole(out, synced=True) as aside, aside.open('wb') as stream:
        summary = summary_of(reader, file)
        writer = Writer(stream, CHUNK_BYTES, CompressionType.LZ4)
        writer.start('ros2', LIBRARY)
        writer.add_metadata(METADATA, {**read_about(file), 'trimmed':
                                       f'{start_s:g} to {stop_s:g} s of {file.name}'})
        schemas: dict[str, int] = {}
        channels: dict[int, int] = {}
        first = summary.statistics.message_start_time if summary.statistics else 0
        for schema, channel, message in raw_messages(reader, summary, file):
            if not start_s <= (message.log_time - first) * 1e-9 <= stop_s:
                continue
            name = schema.name if schema else ''
            if schema and name not in schemas:
                schemas[name] = writer.register_schema(name, schema.encoding, schema.data)
            if channel.id not in channels:
                channels[channel.id] = writer.register_channel(
                    channel.topic, channel.message_encoding, schemas.get(name, 0),
                    channel.metadata)
            writer.add_message(channels[channel.id], message.log_time, message.data,
                               message.publish_time, message.sequence)
            count += 1
        writer.finish()
        if not count:
            raise BagError(f'{file} has no message from {start_s:g} to {stop_s:g} s, expected a '
                           'range within its length (gato-ros record info)')
    return count
