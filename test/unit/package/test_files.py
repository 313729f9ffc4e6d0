"""What is written is there whole or not at all, whatever ends the writing."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gato_ros.files import whole

FULL = OSError(28, 'No space left on device')


def make(path: Path, words: str, folder: bool) -> None:
    if folder:
        path.mkdir()
    (path / 'inside' if folder else path).write_text(words)


def read(path: Path) -> str:
    return (path / 'inside' if path.is_dir() else path).read_text()


@pytest.mark.parametrize('folder', [False, True])
@pytest.mark.parametrize('synced', [False, True])
def test_the_new_takes_the_place_of_the_old(tmp_path: Path, folder: bool, synced: bool) -> None:
    target = tmp_path / 'run'
    for words in ('first', 'second'):
        with whole(target, synced) as aside:
            make(aside, words, folder)
            assert not target.exists() or read(target) == 'first'
        assert read(target) == words
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize('folder', [False, True])
@pytest.mark.parametrize('end', [FULL, KeyboardInterrupt()])
def test_a_failure_leaves_the_old(tmp_path: Path, folder: bool, end: BaseException) -> None:
    target = tmp_path / 'run'
    make(target, 'old', folder)
    with pytest.raises(type(end)), whole(target) as aside:  # noqa: PT012
        make(aside, 'half', folder)
        raise end
    assert read(target) == 'old'
    assert list(tmp_path.iterdir()) == [target]


def test_nothing_written_is_an_error_and_not_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / 'run').write_text('old')
    with pytest.raises(FileNotFoundError), whole(tmp_path / 'run'):
        pass
    assert (tmp_path / 'run').read_text() == 'old'


def test_a_killed_process_leaves_the_old_and_its_rest_is_in_nobodys_way(tmp_path: Path) -> None:
    target = tmp_path / 'run'
    target.mkdir()
    (target / 'inside').write_text('old')
    code = ('import os, signal, sys\nfrom pathlib import Path\nfrom gato_ros.files import whole\n'
            'with whole(Path(sys.argv[1])) as aside:\n    aside.mkdir()\n'
            "    (aside / 'half').touch()\n    os.kill(os.getpid(), signal.SIGKILL)\n")
    run = subprocess.run([sys.executable, '-c', code, str(target)], env={**os.environ})
    assert run.returncode == -signal.SIGKILL
    assert read(target) == 'old' and len(list(tmp_path.iterdir())) == 2
    with whole(target) as aside:
        make(aside, 'new', True)
    assert [path.name for path in target.iterdir()] == ['inside'] and read(target) == 'new'
    assert list(tmp_path.iterdir()) == [target]
