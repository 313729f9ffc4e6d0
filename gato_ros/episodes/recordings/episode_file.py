"""One demonstration while it is being recorded: an MCAP file that no crash can spoil.

    take = EpisodeFile(Path('demos/stack-1.mcap'), recorded(robot), about)
    take.write('joint_states', stamp_ns, serialised)
    take.save({'outcome': 'success'})        # demos/stack-1.mcap appears, whole and indexed

Until it is saved the file is called ``stack-1.mcap.part``. Complete chunks reach the operating
system at once and the disk once a second, so they outlive the process, whatever ends it
(recover.py).
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mcap.well_known import MessageEncoding, SchemaEncoding
from mcap.writer import CompressionType, Writer

from gato_ros.config import ConfigError
from gato_ros.episodes.recordings.definitions import DEFINITIONS
from gato_ros.files import rename

PART = '.part'
METADATA = 'gato_ros'
CHUNK_BYTES = 1 << 20
SYNC_S = 1.0
LIBRARY = 'gato_ros'
OFFERED = 'offered_qos_profiles'  # rosbag2's key beside a channel


class RecordError(ConfigError):
    """A recording that cannot be written; one sentence."""


class EpisodeFile:
    """Writes one episode; not thread-safe.

    topics  topic -> type of what may be written; those without a message leave no trace
    about   what is known at the start, kept even when the end never comes
    offers  topic -> how its publishers offer it (rosbag2.py), as known at its first message
    ending  of its name until it is saved; PART alone is ever recovered, and never written over

    Raises RecordError when the file cannot be written, here and later.
    """

    def __init__(self, file: Path, topics: Mapping[str, str], about: Mapping[str, str],
                 ending: str = PART, offers: Mapping[str, str] = MappingProxyType({})) -> None:
        self.file, self._part = file, file.with_name(file.name + ending)
        self.messages = self.bytes = 0
        self._topics, self._offers = dict(topics), offers
        self._channels: dict[str, int] = {}
        self._schemas: dict[str, int] = {}
        self._synced_s = time.monotonic()
        with self._writing():
            if file.exists():
                raise FileExistsError(0, 'it exists already')
            file.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._part, os.O_WRONLY | os.O_CREAT
                             | (os.O_EXCL if ending == PART else 0), 0o666)
            self._stream: Any = os.fdopen(handle, 'wb')
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)  # alive: not for recovery
            self._stream.truncate(0)
        try:
            with self._writing():
                # lz4: cheap enough to keep up with cameras on one core.
                self._writer = Writer(self._stream, CHUNK_BYTES, CompressionType.LZ4)
                self._writer.start('ros2', LIBRARY)
                self._writer.add_metadata(METADATA, dict(about))
                self._stream.flush()
        except RecordError:
            self.discard()
            raise

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except BlockingIOError as error:
            raise RecordError(f'{self.file} is being written by another process') from error
        except OSError as error:
            raise RecordError(f'{self.file} cannot be written: {error.strerror}; what is finished '
                              'is kept, so make room or choose another place, and begin again'
                              ) from error

    def write(self, topic: str, log_ns: int, data: bytes, publish_ns: int | None = None) -> None:
        """Append one serialised message, received at ``log_ns``."""
        with self._writing():
            if topic not in self._channels:
                self._channels[topic] = self._open_channel(topic)
            self._writer.add_message(self._channels[topic], log_ns, data,
                                     log_ns if publish_ns is None else publish_ns)
            self._stream.flush()  # a chunk that is complete is out of our hands at once
        self.messages += 1
        self.bytes += len(data)
        if time.monotonic() - self._synced_s >= SYNC_S:
            self.sync()

    def _open_channel(self, topic: str) -> int:
        kind = self._topics[topic]
        if kind not in self._schemas:
            self._schemas[kind] = self._writer.register_schema(
                kind, SchemaEncoding.ROS2, DEFINITIONS[kind].encode())
        offered = {OFFERED: self._offers[topic]} if topic in self._offers else {}
        return self._writer.register_channel(f'/{topic.strip("/")}', MessageEncoding.CDR,
                                             self._schemas[kind], offered)

    def sync(self) -> None:
        """End the chunk and wait until the disk has it."""
        with self._writing():
            self._writer.flush()
            os.fsync(self._stream.fileno())
        self._synced_s = time.monotonic()

    def save(self, outcome: Mapping[str, str]) -> Path:
        """Add what is known at the end, index, sync, and give the file its name."""
        with self._writing():
            self._writer.add_metadata(METADATA, dict(outcome))
            self._writer.finish()
            self._stream.flush()
            rename(self._part, self.file, synced=True)
            self._stream.close()
        return self.file

    def discard(self) -> None:
        """Throw the recording away."""
        self._part.unlink(missing_ok=True)
        with suppress(OSError):  # what a full disk has not taken
            self._stream.close()
