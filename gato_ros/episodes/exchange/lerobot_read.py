"""A LeRobotDataset v3 on disk, read as the steps of one robot.

    dataset = Dataset(Path('data/pick'), robot)
    for step in dataset.steps(dataset.episodes[0]): ...
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gato_ros.episodes.exchange.recording import Step
from gato_ros.episodes.recordings.mcap_file import BagError
from gato_ros.episodes.recordings.topics import features
from gato_ros.robot import RobotSpec

VERSION = 'v3.0'
STAMP = 'stamp_ns'  # of the observation, int64; others' datasets have only frame / fps
PREFIX = 'gato_ros/'  # of what we note about an episode beside what the format knows


class Dataset:
    """One dataset as one robot's.

    episodes  what the dataset says about each of its episodes;  numbers  what it calls them

    Raises BagError when it cannot be read or is not this robot's.
    """

    def __init__(self, root: Path, robot: RobotSpec) -> None:
        self._root, self._robot, self._names = root, robot, features(robot)
        with self._reading('meta/info.json') as file:
            self._info: dict[str, Any] = json.loads(file.read_text(encoding='utf-8'))
            version, fps = self._info['codebase_version'], self._info['fps']
            self._features: dict[str, dict[str, Any]] = self._info['features']
        if version.split('.')[0] != VERSION.split('.')[0]:
            raise BagError(f'{root} is a LeRobotDataset {version}, expected {VERSION}: LeRobot '
                           'brings a script that converts it')
        if fps != robot.rate_hz:
            raise BagError(f'{root} has {fps} frames a second, expected {robot.rate_hz:g} '
                           f'(rate_hz in the YAML file of robot {robot.name!r})')
        self._orders = self._match()
        with self._reading('meta/episodes') as folder:
            self.episodes = [row for file in sorted(folder.rglob('*.parquet'))
                             for row in pq.read_table(file).to_pylist()]
            self.numbers = [int(row['episode_index']) for row in self.episodes]
        self._tasks = self._table('meta/tasks.parquet').to_pylist()

    def sentence(self, episode: Mapping[str, Any]) -> str:
        """Return what an episode shows, in words."""
        return str(next(iter(episode.get('tasks') or []), ''))

    def steps(self, episode: Mapping[str, Any]) -> Iterator[Step]:
        """Yield an episode's steps."""
        with self._reading('meta/episodes'):
            yield from self._steps(episode)

    def _steps(self, episode: Mapping[str, Any]) -> Iterator[Step]:
        number = episode['episode_index']
        name = str(self._info.get('data_path', '')).format(
            chunk_index=episode['data/chunk_index'], file_index=episode['data/file_index'])
        table = self._table(name, [('episode_index', '=', number)])
        if table.num_rows != episode['length']:
            raise BagError(f'{self._root / name}: episode {number} has {table.num_rows} frames, '
                           f'expected {episode["length"]} as meta/episodes says')
        videos = {camera.name: self._video(episode, self._names[camera.name])
                  for camera in self._robot.cameras
                  if self._features[self._names[camera.name]]['dtype'] == 'video'}
        period_ns = 1e9 / self._robot.rate_hz
        for row in table.to_pylist():
            stamp = row.get(STAMP)
            images = {camera.name: next(videos[camera.name]) if camera.name in videos
                      else self._picture(row, self._names[camera.name])
                      for camera in self._robot.cameras}
            tensors = {name: np.array(row[self._names[name]], np.float64).reshape(-1)[order]
                       for name, order in self._orders.items()}
            yield Step(round(row['frame_index'] * period_ns) if stamp is None else stamp, images,
                       tensors)

    def _match(self) -> dict[str, Sequence[int]]:
        """Return field -> where each of its values stands in the dataset's vector."""
        spec, orders = self._robot.timestep(), dict[str, Sequence[int]]()
        for camera in self._robot.cameras:
            if self._feature(camera.name).get('dtype') not in ('image', 'video'):
                raise self._mismatch(camera.name, 'pictures')
        for field in (*spec.continuous, *spec.continuous_actions):
            found = self._feature(field.name)
            if list(found.get('shape', ())) != [field.size]:
                raise self._mismatch(field.name, f'{field.size} values, '
                                     f'{", ".join(field.names)}')
            names = found.get('names')
            if isinstance(names, dict):  # {'motors': [...]}
                names = next(iter(names.values()), None)
            orders[field.name] = list(range(field.size))
            if names and set(names) == set(field.names):
                orders[field.name] = [names.index(name) for name in field.names]
        return orders

    def _feature(self, name: str) -> dict[str, Any]:
        found = self._features.get(self._names[name])
        if not isinstance(found, dict):
            raise BagError(f'{self._root} has no feature {self._names[name]!r}, expected one for '
                           f'{name} (features in the YAML file of robot {self._robot.name!r}); '
                           f'it has {", ".join(self._features)}')
        return found

    def _mismatch(self, name: str, wanted: str) -> BagError:
        found = self._feature(name)
        return BagError(f'{self._root}: {self._names[name]!r} is {found.get("dtype")} of shape '
                        f'{found.get("shape")}, expected {wanted} (features in the YAML file of '
                        f'robot {self._robot.name!r})')

    def _picture(self, row: Mapping[str, Any], name: str) -> np.ndarray:
        """Decode a picture, uint8[H, W, 3]."""
        coded = (row[name] or {}).get('bytes')
        picture = (cv2.imdecode(np.frombuffer(coded, np.uint8), cv2.IMREAD_COLOR) if coded
                   else None)
        if picture is None:
            raise BagError(f'{self._root}: frame {row["frame_index"]} of {name} is no picture, '
                           'expected PNG or JPEG in the parquet file')
        return picture[:, :, ::-1]

    def _video(self, episode: Mapping[str, Any], name: str) -> Iterator[np.ndarray]:
        """Yield an episode's pictures, uint8[H, W, 3], as the codec has kept them."""
        file = self._inside(str(self._info['video_path']).format(
            video_key=name, chunk_index=episode[f'videos/{name}/chunk_index'],
            file_index=episode[f'videos/{name}/file_index']))
        start_s = episode[f'videos/{name}/from_timestamp'] - 0.5 / self._robot.rate_hz
        try:
            with av.open(str(file)) as video:
                for frame in video.decode(video=0):
                    if frame.time >= start_s:
                        yield frame.to_ndarray(format='rgb24')
        except av.FFmpegError as error:
            raise BagError(f'{file} cannot be read as a video: {error.strerror}') from error
        raise BagError(f'{file} ends before episode {episode["episode_index"]} does')

    def _table(self, name: str, filters: Any = None) -> pa.Table:
        with self._reading(name) as file:
            return pq.read_table(file, filters=filters)

    def _inside(self, name: str) -> Path:
        file = self._root / name
        if not file.resolve().is_relative_to(self._root.resolve()):
            raise BagError(f'{self._root} names {name}, expected a file inside the dataset')
        return file

    @contextmanager
    def _reading(self, name: str) -> Iterator[Path]:
        """Whatever is wrong with a file becomes a BagError."""
        file = self._inside(name)
        try:
            yield file
        except BagError:
            raise
        except OSError as error:
            raise BagError(f'{file} cannot be read: {error.strerror or error}') from error
        except (ValueError, LookupError, TypeError, AttributeError, pa.ArrowException) as error:
            raise BagError(f'{file} is no part of a LeRobotDataset ({type(error).__name__}: '
                           f'{error})') from error
