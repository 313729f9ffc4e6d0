"""Talking to a policy: which domain answers, any picture, any line, one sentence for a bad one."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from gato_ros.pictures import ConvertError, read_picture
from gato_ros.policy.checkpoint import CheckpointError, DomainConfig, load_checkpoint
from gato_ros.policy.words import PICTURE, Speaker, words_domain
from gato_ros.spec import DiscreteField, ImageField, TimestepSpec
from gato_ros.tools.chat import Devices, chat, named
from gato_ros.tools.cli import app

TEXT = DomainConfig(TimestepSpec())
PHOTO = DomainConfig(TimestepSpec((ImageField('anything', 32, 48),)))
SCENE = DomainConfig(TimestepSpec((ImageField('front', 32, 32), ImageField('wrist', 32, 32))))
GAME = DomainConfig(TimestepSpec((ImageField('screen', 32, 32),),
                                 discrete_actions=(DiscreteField('button', ('a',), 2),)))


@pytest.fixture
def folder(make_checkpoint) -> Path:
    return make_checkpoint(more={'a': GAME, 'b': TEXT, 'c': PHOTO, 'd': SCENE})


def run(*arguments: str | Path, typed: str = ''):
    return CliRunner().invoke(app, [str(one) for one in arguments], input=typed)


def told(speaker: Speaker, questions: Iterable[str], pictures=None) -> str:
    written = io.StringIO()
    chat(speaker, questions, lambda: pictures or {}, written.write)
    return written.getvalue()


def test_what_is_shown_decides_who_answers(folder: Path, make_checkpoint) -> None:
    config = load_checkpoint(folder).config
    assert words_domain(config) == ('b', [])
    assert words_domain(config, [PICTURE]) == ('c', [PICTURE])
    assert words_domain(config, ['wrist', 'front']) == ('d', ['front', 'wrist'])
    assert words_domain(config, ['front', 'wrist', 'top']) == ('d', ['front', 'wrist'])
    assert words_domain(config, ['front']) == ('c', ['front'])
    arm = load_checkpoint(make_checkpoint('arm', more={'b': TEXT})).config
    with pytest.raises(CheckpointError, match=r'no domain of pictures of front and wrist, '
                       r'expected one .* on pictures with text .*; it knows stacking, b'):
        words_domain(arm, ['front', 'wrist'])
    with pytest.raises(CheckpointError, match='no domain of words alone, expected one that was'):
        words_domain(load_checkpoint(make_checkpoint('none')).config)


def test_each_line_is_answered_by_itself(folder: Path) -> None:
    speaker = Speaker(load_checkpoint(folder))
    first, second, third = told(speaker, ['who are you?', '', '  ', 'stop', 'who are you?\n']
                                ).splitlines()
    assert first == third != second and first


def test_a_question_may_be_long_or_foreign_but_not_too_long(folder: Path) -> None:
    speaker = Speaker(load_checkpoint(folder))
    lines = told(speaker, ['word ' * 10_000, 'кто ты? 你是谁 \ud800?', 'hello']).splitlines()
    assert 'a prompt of 10' in lines[0] and 'tokens was given, expected at most 512' in lines[0]
    assert len(lines) == 3 and 'expected' not in lines[1] + lines[2]


def test_the_pictures_are_what_is_asked_about(folder: Path) -> None:
    speaker = Speaker(load_checkpoint(folder), ['front', 'wrist'])
    one, other = (np.full((64, 64, 3), grey, np.uint8) for grey in (0, 200))
    said = {told(speaker, ['what is it?'], {'front': a, 'wrist': b})
            for a, b in ((one, other), (other, one), (one, one), (one, other))}
    assert len(said) == 3
    assert ''.join(speaker.answer('', {'front': one, 'wrist': one}))


def test_pictures_of_any_kind_are_captioned(folder: Path, tmp_path: Path) -> None:
    rng, files = np.random.default_rng(0), []
    for name, shape, kind in (('grey.png', (5, 7), np.uint8), ('alpha.png', (40, 30, 4), np.uint8),
                              ('deep.png', (64, 64, 3), np.uint16), ('dot.jpg', (1, 1, 3), 'u1'),
                              ('wide.jpg', (20, 900, 3), np.uint8)):
        files.append(tmp_path / name)
        cv2.imwrite(str(files[-1]), rng.integers(0, 255, shape).astype(kind))
    result = run('caption', *files, '--checkpoint', folder)
    assert result.exit_code == 0, result.output
    assert [line.split(': ')[0] for line in result.stdout.splitlines()] == list(map(str, files))


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    picture = np.zeros((1, 3, 4), np.uint8)
    picture[0, :, 2], picture[0, :, 3] = 200, (0, 255, 51)  # red in OpenCV's order, and how much
    cv2.imwrite(str(tmp_path / 'a.png'), picture)
    assert read_picture(tmp_path / 'a.png').tolist() == [[[255] * 3, [200, 0, 0], [244, 204, 204]]]


def test_a_picture_that_is_none_is_one_sentence_and_the_others_go_on(
        folder: Path, tmp_path: Path) -> None:
    good = tmp_path / 'good.png'
    cv2.imwrite(str(good), np.zeros((8, 8, 3), np.uint8))
    (tmp_path / 'empty.png').touch()
    (tmp_path / 'text.png').write_text('no picture')
    (tmp_path / 'cut.png').write_bytes(good.read_bytes()[:40])
    header = good.read_bytes()
    (tmp_path / 'huge.png').write_bytes(header[:16] + b'\0\1\0\0\0\1\0\0' + header[24:])
    names = ('empty.png', 'text.png', 'cut.png', 'huge.png', 'gone.png', 'folder')
    (tmp_path / 'folder').mkdir()
    result = run('caption', *(tmp_path / name for name in names), good, '--checkpoint', folder)
    assert result.exit_code == 2 and result.stdout.startswith(f'{good}: ')
    sentences = result.stderr.splitlines()
    assert len(sentences) == len(names)
    for line, name, words in zip(sentences, names, (
            'has no bytes', "begin with '6e6f", 'cut off or damaged', 'the image is 65536x65536',
            'No such file', 'no regular file'), strict=True):
        assert name in line and words in line


def test_a_chat_by_the_program(folder: Path, tmp_path: Path) -> None:
    result = run('chat', '--checkpoint', folder, typed='hello\n\nwho are you?\n')
    assert result.exit_code == 0 and len(result.stdout.splitlines()) == 2
    cv2.imwrite(str(tmp_path / 'a.png'), np.zeros((8, 8, 3), np.uint8))
    for picture in (['--picture', tmp_path / 'a.png'],
                    ['--picture', f'front={tmp_path}/a.png', '--picture',
                     f'wrist={tmp_path}/a.png']):
        result = run('chat', '--checkpoint', folder, *picture, typed='what is it?\n')
        assert result.exit_code == 0 and len(result.stdout.splitlines()) == 1, result.output


def test_a_camera_is_looked_at_for_each_question(folder: Path, tmp_path: Path) -> None:
    film = str(tmp_path / 'film.avi')
    writer = cv2.VideoWriter(film, cv2.VideoWriter_fourcc(*'MJPG'), 20, (48, 32))
    for grey in (0, 250):
        writer.write(np.full((32, 48, 3), grey, np.uint8))
    writer.release()
    devices = Devices(named([film]))
    speaker, written = Speaker(load_checkpoint(folder), devices.cameras), io.StringIO()
    chat(speaker, ['what is it?'] * 3, devices.look, written.write)
    first, second, third = written.getvalue().splitlines()
    assert first != second and f'camera {film!r} gives no picture' in third
    with pytest.raises(ConvertError, match=r"camera '.*/none' cannot be opened"):
        Devices({PICTURE: str(tmp_path / 'none')})


def test_what_cannot_be_shown_is_one_sentence(
        folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConvertError, match=r'front is given twice \(a.png and b.png\)'):
        named(['front=a.png', 'front=b.png'])
    (tmp_path / 'x=y.png').touch()
    assert named([str(tmp_path / 'x=y.png')]) == {PICTURE: str(tmp_path / 'x=y.png')}
    result = run('chat', '--checkpoint', folder, '--picture', 'a', '--scene', '3')
    assert 'expected one of them' in str(result.exception)
    assert run('chat', '--scene', '10000').exit_code == 2, 'no test seed'
    monkeypatch.setattr(sys, 'stdin', io.TextIOWrapper(io.BytesIO(b'\xff\xfe?\n')))
    assert run('chat', '--checkpoint', folder, typed='').exit_code == 0
