"""Episodes on disk: bit for bit what was written, in fewer bytes; a bomb is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import zstandard
from safetensors.numpy import load_file, save_file

from gato_ros.config import to_dict
from gato_ros.episodes.episode import (
    EpisodeError,
    EpisodeInfo,
    EpisodeWriter,
    read_info,
    read_slice,
)
from gato_ros.episodes.packing import BLOCK, LARGEST, narrow, pack, widen
from gato_ros.spec import Observation

INFO = EpisodeInfo('', 'hash', 'walk', 'walk on', 7, 'expert', True)
LENGTH = 2 * BLOCK + 5  # whole blocks and a part of one


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, dict[str, np.ndarray]]:
    """An episode of a dot that moves, and what it was written from."""
    rng = np.random.default_rng(0)
    screen = np.full((LENGTH, 32, 48, 3), 90, np.uint8)
    for step in range(LENGTH):
        screen[step, step % 32, :, step % 3] = 255 * (step % 2)
    arrays = {'image/screen': screen,
              'image/noise': rng.integers(0, 256, (LENGTH, 16, 16, 3), dtype=np.uint8),
              'tensor/place': rng.normal(size=(LENGTH, 3)),
              'tensor/short': rng.normal(size=(LENGTH, 2)).astype(np.float32).astype(float),
              'tensor/cells': rng.integers(0, 198, (LENGTH, 49)),
              'tensor/below': rng.integers(-5, 5, (LENGTH, 1)),
              'action/button': rng.integers(0, 300, (LENGTH, 1)),
              'sent/button': rng.integers(0, 4, (LENGTH, 1)),
              'target/block': rng.normal(size=(LENGTH, 3)).astype(np.float32)}

    def row(group: str, step: int) -> dict[str, np.ndarray]:
        return {key.split('/')[1]: array[step] for key, array in arrays.items()
                if key.startswith(group)}
    writer = EpisodeWriter()
    for step in range(LENGTH):
        writer.add(Observation(row('image', step), row('tensor', step)), row('action', step),
                   row('sent', step), row('target', step))
    writer.save(tmp_path / 'one.safetensors', INFO)
    return tmp_path / 'one.safetensors', arrays


@pytest.mark.parametrize(('start', 'stop'), [
    (0, LENGTH), (0, 1), (BLOCK - 1, BLOCK + 1), (BLOCK, 2 * BLOCK), (LENGTH - 1, LENGTH),
    (3, 3)])
def test_what_is_read_is_bit_for_bit_what_was_written(written, start, stop):
    path, arrays = written
    assert read_info(path).length == LENGTH
    found = {f'{group}/{name}': array for group, fields in read_slice(path, start, stop).items()
             for name, array in fields.items()}
    assert found.keys() == arrays.keys()
    for key, array in arrays.items():
        assert found[key].dtype == array.dtype, key
        assert found[key].tobytes() == array[start:stop].tobytes(), key


def test_it_takes_fewer_bytes_and_a_slice_unpacks_its_blocks_alone(written, monkeypatch):
    path, arrays = written
    stored = load_file(path)
    assert stored['packed/screen'].nbytes < arrays['image/screen'].nbytes / 50
    kinds = {key: str(array.dtype) for key, array in stored.items()}
    assert kinds['tensor/cells'] == kinds['sent/button'] == 'uint8'
    assert (kinds['tensor/below'], kinds['action/button']) == ('int16', 'int16')
    assert (kinds['tensor/short'], kinds['tensor/place']) == ('float32', 'float64')
    first = int(stored['index/screen'][4])
    spoilt = stored['packed/screen'].copy()
    spoilt[first:] = 0  # all blocks but the first
    save_file({**stored, 'packed/screen': spoilt}, path, metadata(LENGTH))
    assert np.array_equal(read_slice(path, 2, 9)['image']['screen'],
                          arrays['image/screen'][2:9])
    with pytest.raises(EpisodeError, match='a block of pictures'):
        read_slice(path, 2, BLOCK + 1)


def test_a_file_of_before_is_read_as_it_is(written):
    path, arrays = written
    save_file(arrays, path, metadata(LENGTH))
    assert read_info(path).length == LENGTH
    found = read_slice(path, 4, 20)
    assert np.array_equal(found['image']['screen'], arrays['image/screen'][4:20])
    assert found['tensor']['cells'].tobytes() == arrays['tensor/cells'][4:20].tobytes()


def metadata(length: int) -> dict[str, str]:
    return {'info': json.dumps({**to_dict(INFO), 'length': length})}


def bomb(shape: tuple[int, ...], said: int, blocks: int) -> dict[str, np.ndarray]:
    """Return pictures that claim a shape, in blocks of zeros of another size."""
    block = np.frombuffer(zstandard.ZstdCompressor(level=1).compress(bytes(said)), np.uint8)
    ends = len(block) * np.arange(1, blocks + 1)
    return {'packed/screen': np.tile(block, blocks),
            'index/screen': np.concatenate([shape, ends]).astype(np.int64)}


def test_a_block_that_unpacks_to_more_than_it_says_is_refused(tmp_path):
    path = tmp_path / 'bomb.safetensors'
    save_file(bomb((1, 16, 16, 3), 1 << 26, 1), path, metadata(1))
    with pytest.raises(EpisodeError, match=f'holds {1 << 26} bytes, expected 768'):
        read_slice(path, 0, 1)


@pytest.mark.parametrize(('shape', 'sentence'), [
    ((BLOCK, 8192, 8192, 3), f'of at most {LARGEST} bytes'),
    ((1 << 40, 16, 16, 3), f'of at most {LARGEST} bytes'),
    ((1, 1 << 40, 1 << 40, 3), r'expected \[T, H, W, 3\]'),
    ((1, -16, -16, 3), r'expected \[T, H, W, 3\]'), ((1, 16, 16, 4), r'expected \[T, H, W, 3\]'),
    ((BLOCK + 1, 16, 16, 3), 'have 1 blocks, expected one for'), ((2,), 'an index of pictures')])
def test_an_index_that_claims_too_much_is_refused_before_anything_is_unpacked(
        tmp_path, shape, sentence):
    path = tmp_path / 'bomb.safetensors'
    save_file(bomb(shape, 99, 1), path, metadata(shape[0]))
    for read in (read_info, lambda file: read_slice(file, 0, 1)):
        with pytest.raises(EpisodeError, match=sentence):
            read(path)


def test_many_cameras_share_one_limit(tmp_path, monkeypatch):
    monkeypatch.setattr('gato_ros.episodes.episode.LARGEST', 1 << 20)
    shape = (BLOCK, 128, 128, 3)  # three quarters of that
    one = bomb(shape, int(np.prod(shape)), 1)
    arrays = {f'{group}/{number}': one[f'{group}/screen'] for number in range(2)
              for group in ('packed', 'index')}
    path = tmp_path / 'many.safetensors'
    save_file(arrays, path, metadata(BLOCK))
    assert path.stat().st_size < 1 << 12 and read_info(path).length == BLOCK
    with pytest.raises(EpisodeError, match='are to be unpacked, expected at most'):
        read_slice(path, 0, BLOCK)


@pytest.mark.parametrize('array', [
    np.array([0.1, -0.0, 1e300, 5e-324]), np.array([np.inf, -np.inf]), np.array([np.nan]),
    np.array([2.0**24 + 1]), np.array([1.5, -0.0]), np.array([-32769, 5]), np.array([2**40]),
    np.array([255]), np.array([-1, 255]), np.zeros((0, 3)), np.zeros((0, 3), np.int64)])
def test_numbers_are_the_same_when_they_were_narrow(array):
    assert widen(narrow(array)).tobytes() == array.tobytes()


def test_noise_costs_little_more_than_itself():
    noise = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    packed, index = pack(noise)
    assert packed.nbytes < 1.01 * noise.nbytes and len(index) == 4 + 3
