"""LeRobotDataset v3, out and in, by pyarrow alone.

    export_lerobot([Path('demos/pick.mcap')], Path('data/pick'), robot)
    import_lerobot(Path('data/pick'), Path('demos'), robot)

Out, everything is exact: vectors are float64, pictures are PNG in the parquet files, and beside
the format's own ``timestamp`` (frame / fps) stands the stamp, in ns. In, a picture may also come
from a video; then it is what the video's codec has left of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gato_ros.episodes.episode import Source
from gato_ros.episodes.exchange.lerobot_read import PREFIX, STAMP, VERSION, Dataset
from gato_ros.episodes.exchange.recording import Made, import_recording
from gato_ros.episodes.recordings.bag import read_demonstration
from gato_ros.episodes.recordings.mcap_file import BagError, read_about
from gato_ros.episodes.recordings.topics import features
from gato_ros.files import whole
from gato_ros.robot import RobotSpec
from gato_ros.untrusted import brief

DATA = 'data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet'
EPISODES = 'meta/episodes/chunk-000/file-000.parquet'
FILE_MB = 100
COUNTERS = {'timestamp': pa.float32(), 'frame_index': pa.int64(), 'episode_index': pa.int64(),
            'index': pa.int64(), 'task_index': pa.int64()}
QUANTILES = {'q01': 0.01, 'q10': 0.1, 'q50': 0.5, 'q90': 0.9, 'q99': 0.99}
PIXELS = 64  # rows and columns of a picture that enter the statistics


def export_lerobot(files: Sequence[Path], out: Path, robot: RobotSpec,
                   failures: bool = False) -> tuple[int, dict[Path, str]]:
    """Write recordings as a dataset and return how many, and why the others are not among them.

    failures  also those that did not end well

    The folder is written aside and then renamed. Raises BagError when it exists or stays empty.
    """
    if out.exists():
        raise BagError(f'{out} exists already, expected a new folder')
    if robot.rate_hz != round(robot.rate_hz):
        raise BagError(f'robot {robot.name!r} has rate_hz {robot.rate_hz}, expected a whole '
                       'number: a LeRobotDataset has no other fps')
    refused: dict[Path, str] = {}
    with whole(out) as aside:
        writer = _Writer(aside, robot)
        for file in files:
            try:
                about = read_about(file)
                if about.get('outcome') != 'success' and not failures:
                    raise BagError(f'{file} is marked {about.get("outcome") or "with nothing"}, '
                                   'expected success')
                steps = read_demonstration(file, robot, about=about).steps
            except BagError as error:
                refused[file] = str(error)
                continue
            writer.add(file, about, steps)
        writer.finish()
        if not writer.episodes:
            raise BagError('no recording may become training data, expected at least one: '
                           f'{next(iter(refused.values()), "there is none")}')
    return len(writer.episodes), refused


class _Writer:
    """One dataset while it is written."""

    def __init__(self, root: Path, robot: RobotSpec) -> None:
        self.episodes: list[dict[str, Any]] = []
        self._root, self._robot, self._names = root, robot, features(robot)
        self._tasks: dict[str, int] = {}
        self._frames = self._file = 0
        self._parquet: pq.ParquetWriter | None = None
        self._seen: dict[str, list[np.ndarray]] = {}
        spec = robot.timestep()
        self._vectors = {self._names[f.name]: f for f in (*spec.continuous,
                                                          *spec.continuous_actions)}
        picture = pa.struct({'bytes': pa.binary(), 'path': pa.string()})
        self._schema = pa.schema(
            {self._names[c.name]: picture for c in robot.cameras}
            | {name: pa.list_(pa.float64(), f.size) for name, f in self._vectors.items()}
            | {STAMP: pa.int64()} | COUNTERS)
        (root / EPISODES).parent.mkdir(parents=True)

    def add(self, file: Path, about: Mapping[str, str], steps: Sequence[tuple]) -> None:
        """Append an episode: (Observation, float64[N]) of each step."""
        n, number, sentence = len(steps), len(self.episodes), about.get('sentence', '')
        task = self._tasks.setdefault(sentence, len(self._tasks))
        columns: dict[str, Any] = {}
        for camera in self._robot.cameras:
            pictures = [seen.images[camera.name] for seen, _ in steps]
            columns[self._names[camera.name]] = [
                {'bytes': _png(picture), 'path': f'frame-{i:06d}.png'}
                for i, picture in enumerate(pictures)]
            self._note(self._names[camera.name], np.stack([
                picture[::-(-camera.height // PIXELS), ::-(-camera.width // PIXELS)]
                for picture in pictures]).reshape(-1, 3) / 255)
        for name, field in self._vectors.items():
            rows = np.stack([sent if field.name == self._robot.command_field
                             else seen.proprioception[field.name] for seen, sent in steps])
            columns[name] = rows.tolist()
            self._note(name, rows)
        frames = np.arange(n)
        columns[STAMP] = [seen.stamp_ns for seen, _ in steps]
        for name, values in (('timestamp', frames / self._robot.rate_hz), ('frame_index', frames),
                             ('episode_index', np.full(n, number)),
                             ('index', self._frames + frames), ('task_index', np.full(n, task))):
            columns[name] = values
            self._note(name, np.asarray(values, np.float64)[:, None])
        self._write(pa.table(columns, schema=self._schema))
        self.episodes.append({
            'episode_index': number, 'tasks': [sentence], 'length': n, 'data/chunk_index': 0,
            'data/file_index': self._file, 'dataset_from_index': self._frames,
            'dataset_to_index': self._frames + n, 'meta/episodes/chunk_index': 0,
            'meta/episodes/file_index': 0, f'{PREFIX}file': file.stem,
            f'{PREFIX}spec_hash': self._robot.timestep().hash,
            **{PREFIX + key: about.get(key, '') for key in ('task', 'source', 'outcome')}})
        self._frames += n

    def _write(self, table: pa.Table) -> None:
        """Append a row group, in a new file where the last one is large enough."""
        place = self._root / DATA.format(chunk_index=0, file_index=self._file)
        if self._parquet is not None and place.stat().st_size > FILE_MB * 1_000_000:
            self._parquet.close()
            self._parquet, self._file = None, self._file + 1
            place = self._root / DATA.format(chunk_index=0, file_index=self._file)
        if self._parquet is None:
            place.parent.mkdir(parents=True, exist_ok=True)
            self._parquet = pq.ParquetWriter(place, self._schema)
        self._parquet.write_table(table)

    def _note(self, name: str, rows: np.ndarray) -> None:
        self._seen.setdefault(name, []).append(rows)

    def finish(self) -> None:
        """Write what is known at the end: episodes, tasks, statistics, and the description."""
        if self._parquet is not None:
            self._parquet.close()
        if not self.episodes:
            return
        pq.write_table(pa.Table.from_pylist(self.episodes), self._root / EPISODES)
        pq.write_table(_tasks(self._tasks), self._root / 'meta/tasks.parquet')
        pictures = {self._names[camera.name] for camera in self._robot.cameras}
        stats = {name: _statistics(np.concatenate(rows), name in pictures)
                 for name, rows in self._seen.items()}
        _write_json(self._root / 'meta/stats.json', stats)
        _write_json(self._root / 'meta/info.json', {
            'codebase_version': VERSION, 'fps': round(self._robot.rate_hz),
            'features': self._features(), 'total_episodes': len(self.episodes),
            'total_frames': self._frames, 'total_tasks': len(self._tasks), 'chunks_size': 1000,
            'data_files_size_in_mb': FILE_MB, 'video_files_size_in_mb': 200, 'data_path': DATA,
            'video_path': None, 'robot_type': self._robot.name,
            'splits': {'train': f'0:{len(self.episodes)}'}})

    def _features(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for camera in self._robot.cameras:
            found[self._names[camera.name]] = {
                'dtype': 'image', 'shape': [camera.height, camera.width, 3],
                'names': ['height', 'width', 'channels']}
        for name, field in self._vectors.items():
            found[name] = {'dtype': 'float64', 'shape': [field.size], 'names': list(field.names)}
        for name, kind in ({STAMP: pa.int64()} | COUNTERS).items():
            found[name] = {'dtype': 'float32' if kind == pa.float32() else 'int64', 'shape': [1],
                           'names': None}
        return found


def import_lerobot(root: Path, out: Path, robot: RobotSpec, outcome: str = '',
                   tell: Callable[[str], None] = lambda words: None) -> Iterator[Made]:
    """Write each episode of a dataset as a recording into ``out``, and yield what was made.

    outcome  success or failure, where the dataset does not say it
    tell     is given what a person must know, such as that names were not matched

    The same call again goes on where it ended: a recording from the same data is kept.
    Raises BagError for a dataset that is not this robot's: features, their sizes, its rate.
    """
    dataset = Dataset(root, robot)
    for remark in dataset.remarks:
        tell(remark)
    for number, row in zip(dataset.numbers, dataset.episodes, strict=True):
        episode = dataset.episode(row)
        note = '; '.join([f'from LeRobotDataset {root.resolve().name}, episode {number}',
                          *dataset.remarks])
        about = {'sentence': episode.sentence, 'source': 'teleoperation', 'outcome': outcome,
                 'note': note}
        about |= {key: said for key in ('task', 'source', 'outcome')
                  if (said := row.get(PREFIX + key)) and isinstance(said, str)}
        _check_marks(root, about)
        name = _name(row.get(f'{PREFIX}file')) or f'{root.resolve().name}-{number:06d}'
        yield import_recording(out / f'{name}.mcap', robot, episode.steps, about, episode.origin)


def _check_marks(root: Path, about: Mapping[str, str]) -> None:
    """Refuse an outcome or a source that nobody knows."""
    for key, known in (('outcome', ('success', 'failure', '')), ('source', get_args(Source))):
        if about[key] not in known:
            raise BagError(f'{root} says {key} {brief(about[key])} of an episode, expected '
                           f'{", ".join(filter(None, known))}')


def _name(said: Any) -> str:
    """Return the name that a dataset gives a recording; '' for none, or one that is no file's."""
    name = Path(said).name if isinstance(said, str) else ''
    return name if name.isprintable() and name[:1] != '.' and len(name.encode()) < 200 else ''


def _png(picture: np.ndarray) -> bytes:
    done, coded = cv2.imencode('.png', picture[:, :, ::-1])
    assert done
    return coded.tobytes()


def _tasks(tasks: Mapping[str, int]) -> pa.Table:
    """Return sentences and their numbers as pandas keeps a table with an index of words."""
    columns = [{'name': name, 'field_name': name, 'pandas_type': kind, 'numpy_type': numpy,
                'metadata': None} for name, kind, numpy in (('task_index', 'int64', 'int64'),
                                                            ('task', 'unicode', 'object'))]
    pandas = {'index_columns': ['task'], 'column_indexes': [], 'columns': columns,
              'creator': {'library': 'pyarrow', 'version': pa.__version__},
              'pandas_version': '2.0.0'}
    table = pa.table({'task_index': list(tasks.values()), 'task': list(tasks)})
    return table.replace_schema_metadata({'pandas': json.dumps(pandas)})


def _statistics(rows: np.ndarray, picture: bool) -> dict[str, list]:
    """Return the figures of float64[n, D], of a picture's channels as [3, 1, 1]."""
    found = {'min': rows.min(0), 'max': rows.max(0), 'mean': rows.mean(0), 'std': rows.std(0)}
    found |= {name: np.quantile(rows, share, axis=0) for name, share in QUANTILES.items()}
    return {name: (values[:, None, None] if picture else values).tolist()
            for name, values in found.items()} | {'count': [len(rows)]}


def _write_json(file: Path, value: Any) -> None:
    file.write_text(json.dumps(value, indent=4) + '\n', encoding='utf-8')
