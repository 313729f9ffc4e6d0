"""The messages of one robot in one MCAP file, as `ros2 bag record` or our recorder writes it.

Whoever wrote the file is not trusted: its bytes may be cut off, damaged or made to harm. So a
message is decoded by what ROS 2 defines for its type's name, never by a definition in the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from mcap.reader import SeekingReader
from mcap.records import Schema
from mcap_ros2.decoder import DecoderFactory

IMAGE, JOINTS = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/JointState'
LONGEST = 800  # characters in a sentence
_LINE = '=' * 80
_HEADER = f"""{_LINE}
MSG: std_msgs/Header
builtin_interfaces/Time stamp
string frame_id
{_LINE}
MSG: builtin_interfaces/Time
int32 sec
uint32 nanosec
"""
# type -> its definition, in the form in which an MCAP file holds it
DEFINITIONS = {
    IMAGE: f"""std_msgs/Header header
uint32 height
uint32 width
string encoding
uint8 is_bigendian
uint32 step
uint8[] data
{_HEADER}""",
    JOINTS: f"""std_msgs/Header header
string[] name
float64[] position
float64[] velocity
float64[] effort
{_HEADER}"""}


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


def read_messages(file: Path, wanted: Mapping[str, str]) -> dict[str, list[Any]]:
    """Return topic -> its messages in the order of recording; the file is only read.

    wanted  topic -> type; a leading slash makes no difference

    Raises BagError for a file that cannot be read, and for a topic of another type.
    """
    found: dict[str, list[Any]] = {topic: [] for topic in wanted}
    try:
        with file.open('rb') as stream:
            for topic, msg in _decoded(stream, file, wanted):
                found[topic].append(msg)
    except BagError:
        raise
    except OSError as error:
        raise BagError(f'{file} cannot be read: {error.strerror or error}') from error
    except Exception as error:  # damaged bytes make the library raise all kinds
        what = f'{type(error).__name__}: {error}'.removesuffix(': ')
        raise BagError(f'{file} is cut off, damaged or no MCAP file ({what}); `mcap recover` '
                       'saves what is whole') from error
    return found


def _decoded(stream: IO[bytes], file: Path,
             wanted: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    """Yield (topic, message) of the wanted topics."""
    decoders = {kind: _decoder(kind) for kind in set(wanted.values())}
    topics = {topic.strip('/'): topic for topic in wanted}
    size = file.stat().st_size
    reader = SeekingReader(stream, validate_crcs=True, record_size_limit=size)
    summary = reader.get_summary()
    if summary is None:
        raise BagError(f'{file} has no index, expected a recording that was closed; '
                       '`mcap recover` writes one')
    channels = [c for c in summary.channels.values() if c.topic.strip('/') in topics]
    count = 0
    for schema, channel, message in reader.iter_messages([c.topic for c in channels]):
        topic = topics[channel.topic.strip('/')]
        kind = schema.name if schema else 'nothing'
        if (kind, channel.message_encoding) != (wanted[topic], 'cdr'):
            raise BagError(f'{file}: {channel.topic} carries {kind} in '
                           f'{channel.message_encoding}, expected {wanted[topic]} in cdr')
        yield topic, decoders[kind](message.data)
        count += 1
    if summary.statistics:
        said = sum(summary.statistics.channel_message_counts.get(c.id, 0) for c in channels)
        if count != said:
            raise BagError(f'{file} is damaged: {count} messages on '
                           f'{", ".join(c.topic for c in channels)}, its index says {said}')


def topics_of(file: Path) -> list[str]:
    """Return the topics of a file that was read without error, in alphabetical order."""
    with file.open('rb') as stream:
        summary = SeekingReader(stream).get_summary()
    return sorted({c.topic for c in summary.channels.values()} if summary else ())


def _decoder(kind: str) -> Callable[[bytes], Any]:
    schema = Schema(id=1, name=kind, encoding='ros2msg', data=DEFINITIONS[kind].encode())
    decoder = DecoderFactory().decoder_for('cdr', schema)
    assert decoder is not None
    return decoder
