"""A LeRobotDataset v3 on disk, read as the steps of one robot.

    dataset = Dataset(Path('data/pick'), robot)
    for row in dataset.episodes:
        episode = dataset.episode(row)
        episode.sentence, episode.steps

Nothing in it is taken for granted: names are matched, frames must lie where their times say, one
episode shows one task.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from gato_ros.episodes.exchange.names import order
from gato_ros.episodes.exchange.recording import Step
from gato_ros.episodes.exchange.video import NEAR, pictures
from gato_ros.episodes.recordings.mcap_file import BagError
from gato_ros.episodes.recordings.topics import features
from gato_ros.pictures import ConvertError, to_image
from gato_ros.robot import POSITIONS, VELOCITIES, RobotSpec
from gato_ros.untrusted import MIB, Refused, brief, digest, open_file, parse_json, plain, read_text

VERSION = 'v3.0'
STAMP = 'stamp_ns'  # of the observation, int64; others' datasets have only frame / fps
PREFIX = 'gato_ros/'  # of what we note about an episode beside what the format knows
ROWS, ROW_BYTES = 5000, 8  # of a small parquet file, and bytes of a file for each beyond
PARTS = 1000  # files of meta/episodes
LARGEST, RATIO = 256 * MIB, 100  # bytes of a parquet file when unpacked, and of its size
PICTURE = 32 * MIB  # bytes of one in the parquet file
BATCH = 8  # frames at a time
LATEST_NS = 2**31 * 10**9  # of a stamp in a ROS message
PLACE = re.compile(r'\{(\w+)(?::0?(\d)d)?\}')


@dataclass(frozen=True)
class Episode:
    """One episode: what it shows, in words, its steps, and a hash of all that it was read from."""

    sentence: str
    steps: Iterator[Step]
    origin: str


class Dataset:
    """One dataset as one robot's.

    episodes  what the dataset says about each of its episodes;  numbers  what it calls them
    remarks   sentences that a person must read

    Raises BagError when it cannot be read or is not this robot's.
    """

    def __init__(self, root: Path, robot: RobotSpec) -> None:
        self._root, self._robot, self._names = root, robot, features(robot)
        self.remarks: list[str] = []
        with self._reading('meta/info.json') as file:
            self._info = _kind(parse_json(read_text(file, 4 * MIB), 4 * MIB), dict, 'it')
            version = _kind(self._info.get('codebase_version'), str, 'codebase_version')
            fps = _kind(self._info.get('fps'), (int, float), 'fps')
            self._features = _kind(self._info.get('features'), dict, 'features')
        if version.split('.')[0] != VERSION.split('.')[0]:
            raise BagError(f'{root} is a LeRobotDataset {plain(version, 20)}, expected {VERSION}: '
                           'LeRobot brings a script that converts it')
        if fps != robot.rate_hz:
            raise BagError(f'{root} has {brief(fps)} frames a second, expected {robot.rate_hz:g} '
                           f'(rate_hz in the YAML file of robot {robot.name!r})')
        self._orders = self._match()
        self._digest = cache(digest)
        with self._reading('meta/episodes') as folder:
            parts = sorted(folder.rglob('*.parquet'))
            if not parts or len(parts) > PARTS:
                raise Refused(f'{len(parts)} parquet files, expected 1 to {PARTS}')
            self.episodes = [row for part in parts for row in self._rows(part, self._columns())]
            self.numbers = [_number(row, 'episode_index') for row in self.episodes]
            if len(set(self.numbers)) < len(self.numbers):
                raise Refused('an episode_index comes twice, expected each once')
        with self._reading('meta/tasks.parquet') as file:
            self._tasks = {_number(row, 'task_index'): _words(row) for row in self._rows(file)}

    def episode(self, row: Mapping[str, Any]) -> Episode:
        """Return an episode, of which all but the pictures has been checked."""
        number = _number(row, 'episode_index')
        with self._reading('meta/episodes'):
            data = self._place('data_path', chunk_index=_number(row, 'data/chunk_index'),
                               file_index=_number(row, 'data/file_index'))
            length = _number(row, 'length')
        with self._reading(data) as file:
            frames = self._frames(file, number, length)
        sentence = self._sentence(data, number, row, frames)
        videos = {camera.name: self._video(row, self._names[camera.name])
                  for camera in self._robot.cameras if self._dtype(camera.name) == 'video'}
        files = [self._inside('meta/info.json'), self._inside(data),
                 *(file for file, _ in videos.values())]
        said = json.dumps([row, sentence, [self._digest(file) for file in files]], default=str)
        return Episode(sentence, self._steps(file, number, frames, videos),
                       hashlib.sha256(said.encode()).hexdigest())

    def _frames(self, file: Path, number: int, length: int) -> dict[str, Any]:
        """Return what is known of an episode's frames beside pictures, each float64[T, n] or [T].

        They are checked: as many as were said, one after the other, each at its time.
        """
        vectors = [self._names[name] for name in self._orders]
        wanted = (*vectors, 'frame_index', 'timestamp', 'task_index', STAMP)
        rows = list(self._rows(file, wanted, number))
        if len(rows) != length or not rows:
            raise BagError(f'{file}: episode {number} has {len(rows)} frames, expected {length} '
                           'as meta/episodes says')
        found: dict[str, Any] = {}
        for name, order_ in self._orders.items():
            values = [row.get(self._names[name]) for row in rows]
            vector = _floats(values, self._names[name])
            if vector.shape[1:] == () and len(order_) == 1:
                vector = vector[:, None]
            if vector.shape != (length, len(order_)):
                raise Refused(f'{self._names[name]} is {vector.shape[1:]} in a frame, expected '
                              f'{len(order_)} values')
            found[name] = vector[:, order_]
        frames = [_number(row, 'frame_index') for row in rows]
        if frames != list(range(length)):
            raise BagError(f'{file}: the frame_index of episode {number} is {brief(frames)}, '
                           f'expected 0 to {length - 1} in order')
        period_s = 1 / self._robot.rate_hz
        times = _floats([row.get('timestamp', i * period_s) for i, row in enumerate(rows)],
                        'timestamp')
        late = np.abs(times - np.arange(length) * period_s)
        if not (late <= NEAR * period_s).all():
            at = int((~(late <= NEAR * period_s)).argmax())
            raise BagError(f'{file}: the timestamp of frame {at} of episode {number} is '
                           f'{times[at]:.3f} s, expected {at * period_s:.3f} s by fps '
                           f'{self._robot.rate_hz:g} in meta/info.json: one of them is wrong')
        found['timestamp'] = times
        found['task_index'] = {_number(row, 'task_index') for row in rows if 'task_index' in row}
        stamps = [row.get(STAMP) for row in rows]
        own = all(isinstance(stamp, int) and 0 <= stamp < LATEST_NS for stamp in stamps)
        found[STAMP] = stamps if own else [round(i * 1e9 * period_s) for i in range(length)]
        return found

    def _sentence(self, data: str, number: int, row: Mapping[str, Any],
                  frames: Mapping[str, Any]) -> str:
        """Return what an episode shows; one that shows several things is refused."""
        shown, listed = frames['task_index'], row.get('tasks')
        listed = [str(words) for words in listed] if isinstance(listed, list) else []
        found = {self._tasks.get(task, '') for task in shown} or set(listed)
        if len(shown) > 1 or len(listed) > 1 or len(found | set(listed)) > 1:
            said = sorted(found | set(listed))
            raise BagError(f'{self._root / data}: episode {number} shows {brief(said)}, expected '
                           'one task in an episode: split it where the task changes')
        return plain(next(iter(found | set(listed)), ''))

    def _steps(self, file: Path, number: int, frames: Mapping[str, Any],
               videos: Mapping[str, tuple[Path, float]]) -> Iterator[Step]:
        """Yield an episode's steps."""
        cameras, period_s = self._robot.cameras, 1 / self._robot.rate_hz
        streams = {camera.name: pictures(
            videos[camera.name][0], videos[camera.name][1] + frames['timestamp'], period_s,
            camera.height, camera.width) if camera.name in videos
            else self._stored(file, number, self._names[camera.name]) for camera in cameras}
        for i, stamp in enumerate(frames[STAMP]):
            yield Step(stamp, {name: next(stream) for name, stream in streams.items()},
                       {name: frames[name][i] for name in self._orders})
        for stream in streams.values():
            next(stream, None)  # a frame too many at the end

    def _match(self) -> dict[str, Sequence[int]]:
        """Return field -> where each of its values stands in the dataset's vector."""
        spec, orders = self._robot.timestep(), dict[str, Sequence[int]]()
        meanings = {POSITIONS: 'position', VELOCITIES: 'velocity',
                    self._robot.command_field: self._robot.interface}
        for camera in self._robot.cameras:
            if self._dtype(camera.name) not in ('image', 'video'):
                raise self._mismatch(camera.name, 'pictures')
        for field in (*spec.continuous, *spec.continuous_actions):
            found = self._feature(field.name)
            if found.get('shape') not in ([field.size], (field.size,)):
                raise self._mismatch(field.name, f'{field.size} values, '
                                     f'{", ".join(field.names)}')
            where = f'{self._root}: feature {self._names[field.name]!r}'
            try:
                orders[field.name], remark = order(field.names, found.get('names'),
                                                   meanings[field.name])
            except ValueError as error:
                raise BagError(f'{where} {error} (names in meta/info.json, joints and features in '
                               f'the YAML file of robot {self._robot.name!r})') from error
            if remark:
                self.remarks.append(f'{where} {remark}: {", ".join(field.names)}')
        return orders

    def _dtype(self, name: str) -> Any:
        return self._feature(name).get('dtype')

    def _feature(self, name: str) -> dict[str, Any]:
        found = self._features.get(self._names[name])
        if not isinstance(found, dict):
            raise BagError(f'{self._root} has no feature {self._names[name]!r}, expected one for '
                           f'{name} (features in the YAML file of robot {self._robot.name!r}); '
                           f'it has {brief(list(self._features))}')
        return found

    def _mismatch(self, name: str, wanted: str) -> BagError:
        found = self._feature(name)
        return BagError(f'{self._root}: {self._names[name]!r} is {brief(found.get("dtype"))} of '
                        f'shape {brief(found.get("shape"))}, expected {wanted} (features in the '
                        f'YAML file of robot {self._robot.name!r})')

    def _stored(self, file: Path, number: int, name: str) -> Iterator[np.ndarray]:
        """Yield the pictures in a parquet file, uint8[H, W, 3]."""
        with self._reading(str(file.relative_to(self._root))):
            for frame, row in enumerate(self._rows(file, (name,), number)):
                coded = row[name].get('bytes') if isinstance(row.get(name), dict) else None
                if not isinstance(coded, bytes) or len(coded) > PICTURE:
                    raise self._no_picture(frame, name)
                yield self._decoded(coded, frame, name)

    def _decoded(self, coded: bytes, frame: int, name: str) -> np.ndarray:
        camera = next(c for c in self._robot.cameras if self._names[c.name] == name)
        sent = SimpleNamespace(data=coded, format='')
        try:
            return to_image(sent, dataclasses.replace(camera.finished, transport='compressed'))
        except ConvertError as error:
            raise BagError(f'{self._root}: frame {frame} of {name}: {error}') from error

    def _no_picture(self, frame: int, name: str) -> BagError:
        return BagError(f'{self._root}: frame {frame} of {name} is no picture, expected PNG or '
                        'JPEG in the parquet file')

    def _video(self, row: Mapping[str, Any], name: str) -> tuple[Path, float]:
        """Return where an episode's video is, and when in it the episode begins, s."""
        with self._reading('meta/episodes'):
            key = f'videos/{name}'
            place = self._place('video_path', video_key=name,
                                chunk_index=_number(row, f'{key}/chunk_index'),
                                file_index=_number(row, f'{key}/file_index'))
            start_s = _kind(row.get(f'{key}/from_timestamp'), (int, float), 'from_timestamp')
            if not math.isfinite(start_s):
                raise Refused(f'{key}/from_timestamp is {start_s}, expected a number')
        return self._inside(place), float(start_s)

    def _place(self, key: str, **values: Any) -> str:
        """Return a file's name by a pattern of the dataset, in which only numbers have a width."""
        pattern = _kind(self._info.get(key), str, key)

        def value(match: re.Match[str]) -> str:
            if match[1] not in values:
                raise Refused(f'{key} asks for {brief(match[1])}, expected {", ".join(values)}')
            return str(values[match[1]]).zfill(int(match[2] or 0))
        name = PLACE.sub(value, pattern)
        if '{' in name or '}' in name or len(name) > 500:
            raise Refused(f'{key} is {brief(pattern)}, expected names like '
                          'data/chunk-{chunk_index:03d}')
        return name

    def _columns(self) -> list[str]:
        """Return the columns of meta/episodes that are of use."""
        keys = ('chunk_index', 'file_index', 'from_timestamp')
        return ['episode_index', 'tasks', 'length', 'data/chunk_index', 'data/file_index',
                *(PREFIX + key for key in ('file', 'task', 'source', 'outcome')),
                *(f'videos/{self._names[camera.name]}/{key}' for camera in self._robot.cameras
                  for key in keys)]

    def _rows(self, file: Path, columns: Sequence[str] | None = None,
              episode: int | None = None) -> Iterator[dict[str, Any]]:
        """Yield rows of a parquet file, of one episode or of all; Refused beyond a budget."""
        with open_file(file) as stream:
            size = file.stat().st_size
            with pq.ParquetFile(stream) as parquet:
                about, names = parquet.metadata, parquet.schema_arrow.names
                unpacked = sum(about.row_group(i).total_byte_size
                               for i in range(about.num_row_groups))
                if about.num_rows > max(ROWS, size // ROW_BYTES):
                    raise Refused(f'{about.num_rows} rows, expected at most '
                                  f'{max(ROWS, size // ROW_BYTES)} in {size} bytes')
                if unpacked > max(LARGEST, RATIO * size):
                    raise Refused(f'{unpacked} bytes unpacked, expected at most '
                                  f'{max(LARGEST, RATIO * size)}')
        chosen = [name for name in names if columns is None or name in columns]
        if len(set(chosen)) < len(chosen):
            raise Refused(f'columns repeat: {brief(chosen)}')
        one = ds.field('episode_index') == episode if episode is not None else None
        for batch in ds.dataset(file, format='parquet').scanner(
                columns=chosen, filter=one, batch_size=BATCH, batch_readahead=1,
                fragment_readahead=1, use_threads=False).to_batches():
            yield from batch.to_pylist()

    def _inside(self, name: str) -> Path:
        file = self._root / name
        if not name.isprintable() or not file.resolve().is_relative_to(self._root.resolve()):
            raise BagError(f'{self._root} names {brief(name)}, expected a file inside the dataset')
        return file

    @contextmanager
    def _reading(self, name: str) -> Iterator[Path]:
        """Whatever a file can be wrong in becomes a BagError; our own mistakes do not."""
        file = self._inside(name)
        try:
            yield file
        except BagError:
            raise
        except OSError as error:
            raise BagError(f'{file} cannot be read: {error.strerror or error}') from error
        except (ValueError, OverflowError, MemoryError, RecursionError,
                pa.ArrowException) as error:
            raise BagError(f'{file} is no part of a LeRobotDataset ({error})') from error


def _kind(value: Any, kind: Any, name: str) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        wanted = ' or '.join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
        raise Refused(f'{name} is {brief(value)}, expected {wanted}')
    return value


def _number(row: Mapping[str, Any], name: str) -> int:
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 10**9:
        raise Refused(f'{name} is {brief(value)}, expected a whole number')
    return value


def _words(row: Mapping[str, Any]) -> str:
    """Return a task's sentence; pandas calls its index so or so."""
    return str(row.get('task', row.get('__index_level_0__', '')))


def _floats(values: list[Any], name: str) -> np.ndarray:
    try:
        return np.array(values, np.float64)
    except (TypeError, ValueError) as error:
        raise Refused(f'{name} holds {brief(values)}, expected numbers, as many in each frame'
                      ) from error
