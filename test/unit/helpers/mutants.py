"""Files of our own kinds, changed at random (by a seed) or by hand into what is wrong."""

from __future__ import annotations

import copy
import json
import random
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import recordings
import yaml

from gato_ros.config import data_path
from gato_ros.episodes.episode import list_episodes, read_info, read_slice
from gato_ros.episodes.prompts import is_failure, read_prompt
from gato_ros.episodes.recordings.bag import import_bag
from gato_ros.policy.checkpoint import CONFIG, SHIPPED, WEIGHTS, load_checkpoint
from gato_ros.robot import load_robot
from gato_ros.tokens.text import DEFAULT_MODEL, TextTokenizer

ROBOT = recordings.ROBOT
Make = Callable[[Path, random.Random], Path]


def nested(depth: int) -> Any:
    """Return a list in a list in a list ..."""
    found: Any = 0
    for _ in range(depth):
        found = [found]
    return found


# What stands in no honest file, for any place in YAML, JSON, metadata and columns.
ODD: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -2**63, 10**50, 10**400, 10**4000, 1e308,
    -1e308, 1e-320, float('nan'), float('inf'), float('-inf'), 0.5, '', ' ', 'x', '\x1b[31mred',
    '\x1b]0;title\x07', 'a\nb\rc', '\u202e', '\ufffe', 'x' * 10_000, '9' * 5000, '{', '{0}',
    '{x:9999999d}',
    '%s%n', '../../etc/passwd', '/dev/zero', '\0', 'NaN', '-0', '1e999', 'null', [], {}, [[]],
    [None], [{}], {'': 0}, {'x': {}}, ['x'] * 2000, list(range(2000)), nested(15), nested(300),
    {str(i): i for i in range(2000)}, [0.0] * 8, ['a', 'a'], {'__class__': 'x'}]


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Return bytes of which some were changed, lost, doubled or replaced by extremes."""
    bad = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        at = rng.randrange(len(bad) + 1)
        some = rng.choice((1, 2, 8, 100, 5000))
        what = rng.randrange(7)
        if what == 0:
            bad[at:at + 1] = bytes([rng.randrange(256)])
        elif what == 1:
            del bad[at:at + some]
        elif what == 2:
            bad[at:at] = bad[at:at + some]
        elif what == 3:
            bad[at:at + 8] = struct.pack('<Q', rng.choice((0, 1, 2**31, 2**32 - 1, 2**62, 2**63,
                                                           2**64 - 1)))
        elif what == 4:
            bad[at:at + 4] = struct.pack('<I', rng.choice((0, 1, 2**16, 2**31 - 1, 2**32 - 1)))
        elif what == 5:
            bad[at:] = bad[at:at + rng.randrange(len(bad) + 1 - at)]
        else:
            bad[at:at + some] = rng.randbytes(some)
        bad = bad or bytearray(b'x')
    return bytes(bad)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of everything inside a document."""
    inside = (value.items() if isinstance(value, dict) else
              enumerate(value) if isinstance(value, list) else ())
    for key, item in inside:
        yield (*path, key)
        yield from places(item, (*path, key))


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Return a document with another value at a place."""
    found = copy.deepcopy(value)
    at = found
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = new
    return found


def misshapen(value: Any, rng: random.Random) -> Any:
    """Return a document with one place changed, lost, or doubled."""
    path = rng.choice(list(places(value)))
    if rng.random() < 0.2:
        found = copy.deepcopy(value)
        at = found
        for key in path[:-1]:
            at = at[key]
        del at[path[-1]]
        return found
    return changed(value, path, rng.choice(ODD))


def to_json(value: Any) -> bytes:
    """Return JSON; whole numbers of any length, as a file may hold them."""
    return json.dumps(value, default=str).encode('utf-8', 'surrogatepass')


class Kind(ABC):
    """One kind of file: an honest one, and what becomes of it."""

    def __init__(self, folder: Path) -> None:
        self.honest = folder / 'honest'
        self.honest.mkdir()

    @abstractmethod
    def read(self, place: Path, aside: Path) -> None:
        """Read as the program does; anything written goes to ``aside``."""

    @abstractmethod
    def made(self) -> Iterator[tuple[str, Make]]:
        """Yield (name, maker) of the hand-made ones, 50 or more."""

    @abstractmethod
    def mutate(self, folder: Path, rng: random.Random) -> Path:
        """Write one that is changed at random."""


def writer(name: str, data: bytes) -> Make:
    """Return what writes a file of these bytes."""
    def make(folder: Path, rng: random.Random) -> Path:
        (folder / name).write_bytes(data)
        return folder / name
    return make


class Yaml(Kind):
    """A robot's YAML file."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.text = data_path('config', 'robots', 'panda_sim.yaml').read_bytes()
        self.data = yaml.safe_load(self.text)

    def read(self, place: Path, aside: Path) -> None:
        load_robot(place).timestep()

    def made(self) -> Iterator[tuple[str, Make]]:
        by_hand = [
            b'\xff\xfe', b'\0', b'', b'a: &a [*a]', b'&a a: *a', b'[' * 5000, b'{' * 5000,
            b'- ' * 5000,
            b'a: ' + b'[' * 19 + b']' * 19, b'!!python/object:os.system x', b'a: !!int x',
            b'a: !!int ""',
            b'a: !!float x', b'a: !!timestamp x', b'a: 2001-99-99', b'a: !!binary x=',
            b'a: !!bool x',
            b'a: !!set [1]', b'a: !!omap 1', b'a: !!pairs [1]', b'? [a]\n: b', b'? {a: b}\n: c',
            b'? |\n x\n: c',
            b'a: 1\na: 2', b'a: {<<: [*b]}', b'a: &b {c: 1}\nd: {<<: *b}', b'a: *b',
            b'%YAML 9.9\n---\n', b'--- a\n--- b',
            b'a: ' + b'9' * 5000, b'a: 0x' + b'f' * 5000, b'a: ' + b'1:' * 5000 + b'1',
            b'a: 1e99999',
            b'a: "\\ud800"', b'a: "\\x1b[2J"', b'\t', b'a:\tb', b'a: |\n' + b' x\n' * 5000,
            b'# ' + b'x' * 500_000,
            b'a: ' + b'x' * 300_000, b'a: [' + b'1,' * 60_000 + b']', b'a: "' + b'\\' * 999 + b'"',
            b'a: &x ' + b'y' * 9999 + b'\nb: [' + b'*x,' * 9999 + b']', b'\xef\xbb\xbfa: 1',
            b'a: ' + b'&b ' * 5000 + b'1',
            b'a: ' + b'!!str ' * 5000 + b'1', b'!' * 5000, b'*' * 5000,
            b'a: !<tag:x,2000:' + b'y' * 9999 + b'> 1']
        lol = b'a0: &a0 [' + b'x,' * 9 + b'x]\n' + b''.join(
            b'a%d: &a%d [' % (i,
            i) + b'*a%d,' % (i - 1) * 9 + b'*a%d]\n' % (i - 1) for i in range(1, 12))
        merge = b'a0: &a0 {x: 1}\n' + b''.join(
            b'a%d: &a%d {<<: [' % (i,
            i) + b'*a%d,' % (i - 1) * 9 + b'*a%d]}\n' % (i - 1) for i in range(1, 12))
        for number, data in enumerate((*by_hand, lol, merge, lol + self.text, merge + self.text)):
            yield f'made {number}', writer('robot.yaml', data)
        for key in ('name', 'rate_hz', 'joints', 'cameras', 'kinematics'):
            for number, odd in enumerate(ODD):
                yield f'{key} {number}', writer('robot.yaml', to_json({**self.data, key: odd}))
        many = [{**self.data['joints'][0], 'name': f'j{i}'} for i in range(500)]
        yield 'many joints', writer('robot.yaml', to_json({**self.data, 'joints': many}))
        camera = {**self.data['cameras'][0], 'height': 16 << 30, 'width': 16 << 30}
        yield 'large camera', writer('robot.yaml', to_json({**self.data, 'cameras': [camera]}))

    def mutate(self, folder: Path, rng: random.Random) -> Path:
        data = (damaged(self.text, rng) if rng.random() < 0.5
                else to_json(misshapen(self.data, rng)))
        return writer('robot.yaml', data)(folder, rng)


class Checkpoint(Kind):
    """A checkpoint's config.json beside its weights."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.text = (SHIPPED / CONFIG).read_bytes()
        self.data = json.loads(self.text)
        self.weights = (SHIPPED / WEIGHTS).resolve()

    def read(self, place: Path, aside: Path) -> None:
        load_checkpoint(place)

    def make(self, data: bytes, weights: bytes = b'') -> Make:
        def make(folder: Path, rng: random.Random) -> Path:
            (folder / CONFIG).write_bytes(data)
            if weights:
                (folder / WEIGHTS).write_bytes(weights)
            else:
                (folder / WEIGHTS).symlink_to(self.weights)
            return folder
        return make

    def made(self) -> Iterator[tuple[str, Make]]:
        for key in self.data:
            for number, odd in enumerate(ODD[::3]):
                yield f'{key} {number}', self.make(to_json({**self.data, key: odd}))
        for key in self.data['architecture']:
            for number, odd in enumerate((0, -1, 1, 10**6, 2**31, 2**62, 10**50, 1.5, 'x', None)):
                path = ('architecture', key)
                yield f'{key} {number}', self.make(to_json(changed(self.data, path, odd)))
        for number, data in enumerate((b'', b'{', b'[]', b'[' * 9999, b'\xff', b'{"a":1,"a":2}')):
            yield f'made {number}', self.make(data)
        for number, data in enumerate((b'x', b'\xff' * 8, struct.pack('<Q', 2**62) + b'{}',
                                       struct.pack('<Q', 2) + b'{}', bytes(99))):
            yield f'weights {number}', self.make(self.text, data)

    def mutate(self, folder: Path, rng: random.Random) -> Path:
        if rng.random() < 0.1:
            return self.make(self.text, damaged(self.weights.read_bytes()[:60_000], rng))(folder,
            rng)
        data = (damaged(self.text, rng) if rng.random() < 0.4
                else to_json(misshapen(self.data, rng)))
        return self.make(data)(folder, rng)


class Episode(Kind):
    """An episode: a safetensors file with what it is in its header."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        file = recordings.record(folder / 'demos', steps=6)
        self.data = import_bag(file, self.honest, ROBOT).file.read_bytes()
        length, = struct.unpack_from('<Q', self.data)
        self.header = json.loads(self.data[8:8 + length])
        self.info = json.loads(self.header['__metadata__']['info'])
        self.body = self.data[8 + length:]

    def read(self, place: Path, aside: Path) -> None:
        read_info(place), read_slice(place, 0, 3), list_episodes(place.parent)
        is_failure(place), read_prompt(place, ROBOT, 'last', 2)

    def make(self, header: Any) -> Make:
        text = to_json(header)
        return writer('episode.safetensors', struct.pack('<Q', len(text)) + text + self.body)

    def told(self, info: Any) -> Make:
        """Return what makes an episode that says this of itself."""
        said = {'info': info if isinstance(info, str) else to_json(info).decode()}
        return self.make({**self.header, '__metadata__': said})

    def made(self) -> Iterator[tuple[str, Make]]:
        for key in self.info:
            for number, odd in enumerate(ODD[::5]):
                yield f'{key} {number}', self.told({**self.info, key: odd})
        for number, text in enumerate(('', '{', '[]', '[' * 9999, 'NaN', '{"a":1,"a":1}', '\0',
        '"x"', '1')):
            yield f'made {number}', self.told(text)
        first = next(name for name in self.header if name != '__metadata__')
        for key in self.header[first]:
            for number, odd in enumerate(ODD[::6]):
                yield f'{key} {number}', self.make(changed(self.header, (first, key), odd))
        for number, odd in enumerate(ODD[::6]):
            yield f'metadata {number}', self.make({**self.header, '__metadata__': odd})

    def mutate(self, folder: Path, rng: random.Random) -> Path:
        if rng.random() < 0.4:
            return writer('episode.safetensors', damaged(self.data, rng))(folder, rng)
        if rng.random() < 0.5:
            return self.told(misshapen(self.info, rng))(folder, rng)
        return self.make(misshapen(self.header, rng))(folder, rng)


class Text(Kind):
    """The text model."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.data = DEFAULT_MODEL.read_bytes()

    def read(self, place: Path, aside: Path) -> None:
        text = TextTokenizer(place)
        text.decode(text.encode('stack the red block, please: 3.5 \u00e4\u4e2d\U0001f9f1'))

    def made(self) -> Iterator[tuple[str, Make]]:
        def piece(words: bytes, score: float, kind: int) -> bytes:
            body = b'\x0a' + bytes([len(words)]) + words + b'\x15' + struct.pack('<f', score)
            body += b'\x18' + bytes([kind])
            return b'\x0a' + bytes([len(body)]) + body

        whole = piece(b'<unk>', 0, 2) + piece(b'<s>', 0, 3) + piece(b'</s>', 0, 3)
        for number, data in enumerate((
                b'', b'\0', b'x', b'\xff' * 99, b'\x0a\xff\xff\xff\xff\x0f', b'{}', whole,
                whole * 2,
                piece(b'a', 1, 1), whole + piece(b'a', float('nan'), 1), whole + piece(b'', 0, 1),
                whole + piece(b'a', float('inf'), 1), whole + piece(b'a', -1e38, 1),
                whole + piece(b'a', 0, 9),
                whole + b''.join(piece(b'%d' % i, 0, 1) for i in range(40_000)),
                whole + piece(b'\xff\xfe', 0, 1), whole + piece(b'\0', 0, 1),
                whole + piece(b'<0x41>', 0, 6),
                b'\x12\x00' + whole, b'\x1a\x02\x12\x00' + whole, bytes(30_000_000))):
            yield f'made {number}', writer('text.model', data)
        for at in range(0, len(self.data), len(self.data) // 40):
            yield f'cut {at}', writer('text.model', self.data[:at])

    def mutate(self, folder: Path, rng: random.Random) -> Path:
        return writer('text.model', damaged(self.data, rng))(folder, rng)
