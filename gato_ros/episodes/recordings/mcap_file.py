"""The messages of one robot in one MCAP file, as `ros2 bag record` or our recorder writes it.

Whoever wrote the file is not trusted: its bytes may be cut off, damaged or made to harm. So a
message is decoded by what ROS 2 defines for its type's name, never by a definition in the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mcap.reader import SeekingReader
from mcap.records import Channel, Message, Schema
from mcap.summary import Summary
from mcap_ros2.decoder import DecoderFactory

from gato_ros.episodes.recordings.chunks import chunks_fault
from gato_ros.episodes.recordings.definitions import DEFINITIONS
from gato_ros.episodes.recordings.episode_file import METADATA

LONGEST = 800  # characters in a sentence


class BagError(ValueError):
    """A recording that cannot become an episode; one sentence with file, value, expectation."""

    def __init__(self, sentence: str) -> None:
        """Keep what a file holds from spreading over lines, or over the whole screen."""
        plain = ''.join(c if c.isprintable() else ' ' for c in sentence)
        super().__init__(plain if len(plain) <= LONGEST else f'{plain[:LONGEST - 4]} ...')


def find_file(bag: Path) -> Path:
    """Return the MCAP file of a recording: the file itself, or the only one in its folder."""
    if not bag.is_dir():
        return bag
    files = sorted(bag.glob('*.mcap'))
    if len(files) != 1:
        raise BagError(f'{bag} holds {len(files)} .mcap files, expected one: an episode is one '
                       'file (ros2 bag convert joins them)')
    return files[0]


@contextmanager
def reading(file: Path) -> Iterator[SeekingReader]:
    """Open a file; whatever is wrong with it becomes a BagError."""
    try:
        with file.open('rb') as stream:
            yield SeekingReader(stream, validate_crcs=True, record_size_limit=file.stat().st_size)
    except BagError:
        raise
    except OSError as error:
        raise BagError(f'{file} cannot be read: {error.strerror or error}') from error
    except Exception as error:  # damaged bytes make the library raise all kinds
        what = f'{type(error).__name__}: {error}'.removesuffix(': ')
        raise BagError(f'{file} is cut off, damaged or no MCAP file ({what}); `gato-ros record '
                       'repair` or `mcap recover` saves what is whole') from error


def summary_of(reader: SeekingReader, file: Path) -> Summary:
    """Return the index; BagError for a file without one, or one that would fill the memory."""
    summary = reader.get_summary()
    if summary is None:
        raise BagError(f'{file} has no index, expected a recording that was closed; '
                       '`gato-ros record repair` or `mcap recover` writes one')
    if fault := chunks_fault(file, summary.chunk_indexes):
        raise BagError(f'{file} is refused: {fault}')
    return summary


def raw_messages(reader: SeekingReader, summary: Summary, file: Path,
                 topics: Sequence[str] | None = None
                 ) -> Iterator[tuple[Schema | None, Channel, Message]]:
    """Yield the messages of some topics (None: of all) in the order of recording."""
    channels = [c for c in summary.channels.values() if topics is None or c.topic in topics]
    count = 0
    for row in reader.iter_messages([c.topic for c in channels]):
        yield row
        count += 1
    if summary.statistics:
        said = sum(summary.statistics.channel_message_counts.get(c.id, 0) for c in channels)
        if count != said:
            raise BagError(f'{file} is damaged: {count} messages on '
                           f'{", ".join(c.topic for c in channels)}, its index says {said}')


def read_messages(file: Path, wanted: Mapping[str, str],
                  take: Mapping[str, Callable[[Any], Any]] | None = None) -> dict[str, list[Any]]:
    """Return topic -> its messages in the order of recording; the file is only read.

    wanted  topic -> type; a leading slash makes no difference
    take    topic -> what is kept of a message, where whole ones would fill the memory

    Raises BagError for a file that cannot be read, and for a topic of another type.
    """
    found: dict[str, list[Any]] = {topic: [] for topic in wanted}
    decoders = {kind: _decoder(kind) for kind in set(wanted.values())}
    names = {topic.strip('/'): topic for topic in wanted}
    with reading(file) as reader:
        summary = summary_of(reader, file)
        present = [c.topic for c in summary.channels.values() if c.topic.strip('/') in names]
        for schema, channel, message in raw_messages(reader, summary, file, present):
            topic = names[channel.topic.strip('/')]
            kind = schema.name if schema else 'nothing'
            if (kind, channel.message_encoding) != (wanted[topic], 'cdr'):
                raise BagError(f'{file}: {channel.topic} carries {kind} in '
                               f'{channel.message_encoding}, expected {wanted[topic]} in cdr')
            msg = decoders[kind](message.data)
            found[topic].append(take[topic](msg) if take and topic in take else msg)
    return found


def read_about(file: Path) -> dict[str, str]:
    """Return what our recorder has noted about a recording; {} for one of somebody else."""
    about: dict[str, str] = {}
    with reading(file) as reader:
        for record in reader.iter_metadata():
            if record.name == METADATA:
                about |= record.metadata
    return about


def topics_of(file: Path) -> list[str]:
    """Return the topics of a file that was read without error, in alphabetical order."""
    with reading(file) as reader:
        return sorted({c.topic for c in summary_of(reader, file).channels.values()})


def _decoder(kind: str) -> Callable[[bytes], Any]:
    schema = Schema(id=1, name=kind, encoding='ros2msg', data=DEFINITIONS[kind].encode())
    decoder = DecoderFactory().decoder_for('cdr', schema)
    assert decoder is not None
    return decoder
