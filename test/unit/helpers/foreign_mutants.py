"""Recordings and datasets of other people, changed at random or by hand into what is wrong."""

from __future__ import annotations

import json
import random
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import recordings
from mcap.reader import make_reader
from mcap.writer import CompressionType, Writer
from mutants import ODD, ROBOT, Kind, Make, changed, damaged, misshapen, places, to_json, writer

from gato_ros.episodes.exchange.lerobot import export_lerobot, import_lerobot
from gato_ros.episodes.exchange.robomimic import import_robomimic
from gato_ros.episodes.prompts import is_failure
from gato_ros.episodes.recordings.actors import read_remarks
from gato_ros.episodes.recordings.bag import read_demonstration
from gato_ros.episodes.recordings.inspect import contents, inspect
from gato_ros.episodes.recordings.mcap_file import BagError
from gato_ros.episodes.recordings.recover import recover
from gato_ros.episodes.recordings.topics import features


class Mcap(Kind):
    """A recording."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        file = recordings.record(self.honest, steps=6)
        self.data = file.read_bytes()
        with file.open('rb') as stream:
            reader = make_reader(stream)
            self.rows = list(reader.iter_messages())
            self.about = {key: value for record in reader.iter_metadata()
                          for key, value in record.metadata.items()}

    def read(self, place: Path, aside: Path) -> None:
        refused = None
        for one in (contents, lambda file: inspect(file, ROBOT), read_remarks, is_failure, recover,
                    lambda file: read_demonstration(file, ROBOT)):
            try:
                one(place)  # type: ignore[operator]
            except BagError as error:
                refused = error
        if refused is not None:
            raise refused

    def write(self, folder: Path, about: dict[str, str],
              change: Callable[[int, bytes], bytes] = lambda number, data: data, times: int = 1,
              compression: CompressionType = CompressionType.LZ4, **names: Any) -> Path:
        """Write a recording whose chunks are whole and whose messages are not."""
        with (folder / 'demo.mcap').open('wb') as stream:
            made = Writer(stream, 1 << 18, compression)
            made.start('ros2', 'fuzz')
            made.add_metadata('gato_ros', about)
            schemas: dict[str, int] = {}
            channels: dict[str, int] = {}
            for number, (schema, channel, message) in enumerate(self.rows):
                kind, topic = names.get('kind', schema.name), names.get('topic', channel.topic)
                if kind not in schemas:
                    schemas[kind] = made.register_schema(kind, 'ros2msg', schema.data)
                if topic not in channels:
                    channels[topic] = made.register_channel(
                        topic, names.get('encoding', 'cdr'), schemas[kind])
                for _ in range(times):
                    made.add_message(channels[topic], names.get('log_ns', message.log_time),
                                     change(number, message.data), message.publish_time)
            made.finish()
        return folder / 'demo.mcap'

    def made(self) -> Iterator[tuple[str, Make]]:
        def made(**options: Any) -> Make:
            return lambda folder, rng: self.write(folder, **{'about': self.about, **options})

        for key in ('lost', 'skew', 'sentence', 'spec_hash', 'outcome'):
            for number, odd in enumerate(ODD[16:]):
                said = odd if isinstance(odd, str) else to_json(odd).decode()
                yield f'{key} {number}', made(about={**self.about, key: said})
        for number, data in enumerate((
                b'', b'\0', bytes(4), b'\0\1\0\0', b'\xff' * 64, b'\x28\xb5\x2f\xfd',
                b'\x04\x22\x4d\x18',
                b'\0\1\0\0' + b'\xff' * 999, bytes(70_000), bytes(3_000_000),
                b'\0\1\0\0' + bytes(60_000),
                b'\0\1\0\0' + bytes(8) + struct.pack('<I', 1) + b'\0\0\0\0' + struct.pack('<I',
                2**32 - 1))):
            yield f'messages {number}', made(change=lambda number, _, data=data: data)
        for number, options in enumerate((
                {'times': 3000, 'change': lambda number, data: b''}, {'log_ns': 0},
                {'log_ns': 2**64 - 1},
                {'kind': 'x'}, {'kind': ''}, {'encoding': 'json'}, {'encoding': ''}, {'topic': ''},
                {'topic': '\x1b[2J'}, {'topic': 'x' * 9999}, {'topic': 'joint_states'},
                {'topic': '/recorder/mark'},
                {'times': 50, 'compression': CompressionType.ZSTD}, {'times': 50})):
            yield f'options {number}', made(**options)
        for cut in range(8):
            yield f'cut {cut}', writer('demo.mcap', self.data[:cut * len(self.data) // 8])
        for number, start in enumerate((b'SQLite format 3\0', b'#ROSBAG V2.0\n', b'\x1f\x8b',
        b'PAR1',
                                        b'\x89HDF\r\n\x1a\n', b'\x28\xb5\x2f\xfd',
                                        b'\x04\x22\x4d\x18')):
            yield f'other {number}', writer('demo.mcap', start + self.data)

    def mutate(self, folder: Path, rng: random.Random) -> Path:
        what = rng.random()
        if what < 0.5:
            return writer('demo.mcap', damaged(self.data, rng))(folder, rng)
        if what < 0.9:
            chosen = rng.sample(range(len(self.rows)), rng.choice((1, 3, 10)))
            return self.write(folder, self.about, lambda number, data: damaged(data, rng)
                              if number in chosen else data)
        key, odd = rng.choice(list(self.about)), rng.choice(ODD)
        return self.write(folder, {**self.about, key: str(odd)[:9999] if not isinstance(odd, int)
                                   else hex(odd)})


class LeRobot(Kind):
    """A LeRobotDataset v3."""

    PARTS = ('meta/info.json', 'meta/tasks.parquet', 'meta/episodes/chunk-000/file-000.parquet',
             'data/chunk-000/file-000.parquet')

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        files = [recordings.record(folder / 'demos', steps=6) for _ in range(2)]
        export_lerobot(files, self.honest / 'set', ROBOT)
        self.info = json.loads((self.honest / 'set/meta/info.json').read_text())

    def read(self, place: Path, aside: Path) -> None:
        list(import_lerobot(place, aside / 'out', ROBOT, 'success'))

    def make(self, part: str, change: Callable[[bytes], bytes]) -> Make:
        """Return what copies the dataset and changes one of its files."""
        def make(folder: Path, rng: random.Random) -> Path:
            shutil.copytree(self.honest / 'set', folder / 'set')
            place = folder / 'set' / part
            place.write_bytes(change(place.read_bytes()))
            return folder / 'set'
        return make

    def column(self, part: str, name: str, values: Callable[[int], Any]) -> Make:
        """Return what puts other values into a column."""
        def make(folder: Path, rng: random.Random) -> Path:
            shutil.copytree(self.honest / 'set', folder / 'set')
            place = folder / 'set' / part
            table = pq.read_table(place)
            others = table.drop_columns([name])
            try:
                new = pa.array(values(table.num_rows))
                pq.write_table(others.append_column(name, new), place)
            except (pa.ArrowException, OverflowError, TypeError, ValueError):
                pq.write_table(others, place)  # parquet has no such thing
            return folder / 'set'
        return make

    def made(self) -> Iterator[tuple[str, Make]]:
        for key in ('codebase_version', 'fps', 'features', 'data_path', 'video_path'):
            for number, odd in enumerate(ODD):
                data = to_json({**self.info, key: odd})
                yield f'{key} {number}', self.make('meta/info.json', lambda _, data=data: data)
        for part in self.PARTS[1:]:
            for name in pq.read_schema(self.honest / 'set' / part).names:
                for number, odd in enumerate(ODD[::9]):
                    yield f'{part} {name} {number}', self.column(part, name,
                                                                 lambda n, odd=odd: [odd] * n)
        many = pa.table({'episode_index': pa.array(np.zeros(3_000_000, np.int64))})
        for part in self.PARTS[1:]:
            def change(_: bytes, many: pa.Table = many) -> bytes:
                sink = pa.BufferOutputStream()
                pq.write_table(many, sink)
                return sink.getvalue().to_pybytes()
            yield f'{part} millions', self.make(part, change)

    def mutate(self, folder: Path, rng: random.Random) -> Path:
        if rng.random() < 0.4:
            data = to_json(misshapen(self.info, rng))
            return self.make('meta/info.json', lambda _: data)(folder, rng)
        part = rng.choice(self.PARTS)
        if rng.random() < 0.5 or part.endswith('.json'):
            return self.make(part, lambda data: damaged(data, rng))(folder, rng)
        name = rng.choice(pq.read_schema(self.honest / 'set' / part).names)
        odd = rng.choice(ODD)
        return self.column(part, name, lambda n: [odd] * n)(folder, rng)


class Robomimic(Kind):
    """robomimic's HDF5."""

    ARGUMENTS: ClassVar[dict[str, Any]] = {'env_kwargs': {'control_freq': 20,
    'controller_configs': {
        'type': 'JOINT_TORQUE', 'input_max': 1, 'output_max': 1}}}

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        steps = read_demonstration(recordings.record(folder / 'demos', steps=6), ROBOT).steps
        self.places = features(ROBOT)
        with h5py.File(self.honest / 'low.hdf5', 'w') as file:
            data = file.create_group('data')
            data.attrs['env_args'] = json.dumps(self.ARGUMENTS)
            demo = data.create_group('demo_0')
            for field, where in self.places.items():
                demo[where] = np.stack([
                    effort if field == ROBOT.command_field else
                    (seen.images | seen.proprioception)[field] for seen, effort in steps])
            demo['rewards'] = np.eye(len(steps))[-1]

    def read(self, place: Path, aside: Path) -> None:
        list(import_robomimic(place, aside / 'out', ROBOT, 'lift'))

    def make(self, change: Callable[[h5py.File], None]) -> Make:
        def make(folder: Path, rng: random.Random) -> Path:
            shutil.copy(self.honest / 'low.hdf5', folder / 'low.hdf5')
            with h5py.File(folder / 'low.hdf5', 'r+') as file:
                change(file)
            return folder / 'low.hdf5'
        return make

    def made(self) -> Iterator[tuple[str, Make]]:
        def told(text: str) -> Callable[[h5py.File], None]:
            return lambda file: file['data'].attrs.__setitem__('env_args', text)

        texts = [to_json(odd).decode() for odd in ODD]
        texts += [to_json(changed(self.ARGUMENTS, path, odd)).decode()
                  for path in places(self.ARGUMENTS) for odd in ODD[::4]]
        for number, text in enumerate(texts):
            yield f'arguments {number}', self.make(told(text[:60_000]))
        for where in (*self.places.values(), 'rewards'):
            for number, put in enumerate(self.puts()):
                def change(file: h5py.File, where: str = where, put: Any = put) -> None:
                    del file['data/demo_0'][where]
                    put(file['data/demo_0'], where)
                yield f'{where} {number}', self.make(change)

    def puts(self) -> list[Callable[[h5py.Group, str], object]]:
        """Return what may lie where an array should."""
        layout = h5py.VirtualLayout((6, 8), 'f8')
        layout[:] = h5py.VirtualSource('/etc/passwd', 'x', (6, 8))
        return [
            lambda group, name: group.create_group(name),
            lambda group, name: group.create_dataset(name, data=1.0),
            lambda group, name: group.create_dataset(name, data='text'),
            lambda group, name: group.create_dataset(name, data=['a'] * 6),
            lambda group, name: group.create_dataset(name, data=h5py.Empty('f8')),
            lambda group, name: group.create_dataset(name, (10**11,), 'f8'),
            lambda group, name: group.create_dataset(name, (10**6, 10**6), 'f8', chunks=(99, 99)),
            lambda group, name: group.create_dataset(name, (6, 10**5), 'f8', chunks=(6, 10**5),
                                                     compression='gzip'),
            lambda group, name: group.create_dataset(name, (6, 8), 'f8', external=[
                ('/etc/passwd', 0, 384)]),
            lambda group, name: group.create_virtual_dataset(name, layout),
            lambda group, name: group.__setitem__(name, h5py.SoftLink(f'/data/demo_0/{name}')),
            lambda group, name: group.__setitem__(name, h5py.SoftLink('/data')),
            lambda group, name: group.__setitem__(name, h5py.ExternalLink('/etc/passwd', '/')),
            lambda group, name: group.__setitem__(name, group.parent),  # a circle
            lambda group, name: group.create_dataset(name, data=np.full((6, 8), np.nan)),
            lambda group, name: group.create_dataset(name, data=np.full((6, 8), 1e300)),
            lambda group, name: group.create_dataset(name, data=np.zeros((6, 8), 'complex128')),
            lambda group, name: group.create_dataset(name, data=np.zeros((0, 8))),
            lambda group, name: group.create_dataset(name, data=np.zeros((6, 0))),
            lambda group, name: group.create_dataset(name, data=np.zeros((6, 64, 64, 3)))]

    def mutate(self, folder: Path, rng: random.Random) -> Path:
        if rng.random() < 0.7:
            data = bytearray((self.honest / 'low.hdf5').read_bytes())
            start = rng.choice((0, 0, rng.randrange(len(data))))  # structures are small and rare
            part = damaged(bytes(data[start:start + 4096]), rng)
            data[start:start + 4096] = part
            return writer('low.hdf5', bytes(data))(folder, rng)
        text = to_json(misshapen(self.ARGUMENTS, rng)).decode()[:60_000]
        return self.make(lambda file: file['data'].attrs.__setitem__('env_args', text))(folder,
        rng)
