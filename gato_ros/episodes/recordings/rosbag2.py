"""What rosbag2 asks of a recording: how each topic was offered, and a folder's metadata.yaml.

`ros2 bag info FILE.mcap` needs nothing beside the file; programs that want a folder, as
`ros2 bag record` leaves one, get it from ``write_folder``.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import yaml
from mcap.records import Channel, Schema, Statistics

from gato_ros.episodes.recordings.episode_file import OFFERED
from gato_ros.episodes.recordings.mcap_file import BagError, read_about, whole_records

VERSION = 9  # of the metadata: rosbag2 of Jazzy and later
_ENDLESS = (9_223_372_036, 854_775_807)  # s and ns of a duration without end, as rmw says it


def offer(reliable: bool, latched: bool, depth: int) -> dict[str, Any]:
    """Return how a publisher offers its topic, in rosbag2's words.

    latched  whether late subscribers get the last ``depth`` messages
    """
    endless = {key: dict(zip(('sec', 'nsec'), _ENDLESS, strict=True))
               for key in ('deadline', 'lifespan', 'liveliness_lease_duration')}
    return {'history': 'keep_last', 'depth': depth,
            'reliability': 'reliable' if reliable else 'best_effort',
            'durability': 'transient_local' if latched else 'volatile',
            'liveliness': 'automatic', 'avoid_ros_namespace_conventions': False, **endless}


def offers_text(offers: list[dict[str, Any]]) -> str:
    """Return the offers of a topic's publishers as a file holds them."""
    return yaml.safe_dump(offers, sort_keys=False)


def write_folder(file: Path, folder: Path) -> Path:
    """Make a folder as `ros2 bag record` leaves one, and return its ``metadata.yaml``.

    The file stays where it is, and is linked where the disk can do that, else copied.

    Raises BagError for a file without an index or another program's odd words in it, and when
    the folder is there already or cannot be made.
    """
    about = _metadata(file)
    try:
        folder.mkdir(parents=True)
        try:
            os.link(file, folder / file.name)
        except OSError:  # another disk, or one without links
            shutil.copy2(file, folder / file.name)
        target = folder / 'metadata.yaml'
        target.write_text(yaml.safe_dump({'rosbag2_bagfile_information': about},
                                         sort_keys=False), encoding='utf-8')
    except OSError as error:
        raise BagError(f'{folder} cannot be written: {error.strerror or error}; expected the name '
                       f'of a new folder, {file} is as it was') from error
    return target


def _metadata(file: Path) -> dict[str, Any]:
    """Return rosbag2's metadata of a file, from its index."""
    schemas: dict[int, Schema] = {}
    channels: dict[int, Channel] = {}
    said: Statistics | None = None
    for record in whole_records(file, messages=False):
        if isinstance(record, Schema):
            schemas[record.id] = record
        elif isinstance(record, Channel):
            channels[record.id] = record
        elif isinstance(record, Statistics):
            said = record
    if said is None:
        raise BagError(f'{file} has no index, expected a whole file: `gato-ros record repair '
                       f'{file}` makes one')
    length = {'nanoseconds': max(0, said.message_end_time - said.message_start_time)}
    start = {'nanoseconds_since_epoch': said.message_start_time}
    return {
        'version': VERSION, 'storage_identifier': 'mcap', 'duration': length,
        'starting_time': start, 'message_count': said.message_count,
        'topics_with_message_count': [
            {'topic_metadata': {
                'name': channel.topic,
                'type': schemas[channel.schema_id].name if channel.schema_id in schemas else '',
                'serialization_format': channel.message_encoding,
                OFFERED: _offers(file, channel), 'type_description_hash': ''},
             'message_count': said.channel_message_counts.get(channel.id, 0)}
            for channel in channels.values()],
        'compression_format': '', 'compression_mode': '', 'relative_file_paths': [file.name],
        'files': [{'path': file.name, 'starting_time': dict(start), 'duration': dict(length),
                   'message_count': said.message_count}],
        'custom_data': None, 'ros_distro': read_about(file).get('ros', '')}


def _offers(file: Path, channel: Channel) -> list[Any]:
    try:
        found = yaml.safe_load(channel.metadata.get(OFFERED, '')) or []
    except (yaml.YAMLError, RecursionError):
        found = None
    if not isinstance(found, list):
        raise BagError(f'{file}: {OFFERED} of {channel.topic} is no list, expected what rosbag2 '
                       'writes')
    return found
