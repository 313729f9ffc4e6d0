"""The program: quick, honest about mistakes, and quiet about its insides."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import gato_ros
from gato_ros.config import ConfigError, data_path
from gato_ros.tools import cli

HEAVY = ('torch', 'mujoco', 'rclpy', 'numpy', 'cv2')


def gato(*args: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, '-m', 'gato_ros.tools.cli', *map(str, args)],
                          capture_output=True, text=True)


def one_sentence(run: subprocess.CompletedProcess[str]) -> str:
    assert run.returncode == 2, run.stderr
    assert 'Traceback' not in run.stderr and run.stdout == ''
    lines = run.stderr.strip().splitlines()
    assert len(lines) == 1, run.stderr
    return lines[0]


def robot_file(folder: Path, old: str, new: str) -> Path:
    text = data_path('config', 'robots', 'panda_sim.yaml').read_text()
    assert old in text
    file = folder / 'arm.yaml'
    file.write_text(text.replace(old, new, 1))
    return file


def test_help_lists_the_commands() -> None:
    run = gato('--help')
    assert run.returncode == 0
    listed = run.stdout.split('Commands:')[1]
    for command in ('collect', 'train', 'evaluate', 'demo', 'tokens'):
        assert f'\n  {command} ' in listed


@pytest.mark.parametrize('command', [c.name or c.callback.__name__  # type: ignore[union-attr]
                                     for c in cli.app.registered_commands])
def test_each_command_explains_itself_without_its_libraries(command: str) -> None:
    code = ('import sys\nfrom gato_ros.tools import cli\n'
            f'sys.argv = ["gato-ros", {command!r}, "--help"]\n'
            'try:\n    cli.main()\nexcept SystemExit as end:\n    assert not end.code\n'
            f'print("LOADED", *sorted(set({HEAVY!r}) & set(sys.modules)))')
    run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    help_text, loaded = run.stdout.split('LOADED')
    assert 'Usage: gato-ros ' + command in help_text
    assert loaded.strip() == ''


def test_help_is_quick() -> None:
    """Half a second of processor time: the wall clock would measure the machine's other work."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert gato('--help').returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5


def test_version() -> None:
    assert gato('--version').stdout == f'gato-ros {gato_ros.__version__}\n'


def test_unknown_key_in_a_robot_is_one_sentence(tmp_path: Path) -> None:
    file = robot_file(tmp_path, 'rate_hz:', 'rate_hertz:')
    sentence = one_sentence(gato('tokens', '--robot', file))
    assert str(file) in sentence and "unknown key 'rate_hertz'" in sentence
    assert 'rate_hz' in sentence


def test_more_pixels_than_a_timestep_holds_are_one_sentence(tmp_path: Path) -> None:
    file = robot_file(tmp_path, 'height: 64, width: 64', 'height: 480, width: 640')
    assert 'a timestep has 1231 observation tokens, expected at most 512: give the cameras' in (
        one_sentence(gato('tokens', '--robot', file)))


def test_missing_file_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / 'none.yaml'
    assert str(file) in one_sentence(gato('tokens', '--robot', file))


def test_wrong_option_is_refused() -> None:
    run = gato('tokens', '--robott', 'panda_sim')
    assert run.returncode == 2
    assert '--robott' in run.stderr and 'Traceback' not in run.stderr


def test_tokens_and_their_json(tmp_path: Path) -> None:
    file = tmp_path / 'tokens.json'
    run = gato('tokens', '--json', file)
    assert run.returncode == 0, run.stderr
    rows = json.loads(file.read_text())['tokens']
    assert len(rows) == len(run.stdout.splitlines()) - 1 == 56
    assert [row['kind'] for row in rows].count('action') == 8
    assert rows[-1]['name'] in run.stdout.splitlines()[-1]
    assert str(rows[-1]['id']) in run.stdout.splitlines()[-1]


def test_json_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    target = tmp_path / 'no' / 'folder.json'
    run = gato('tokens', '--json', target)
    assert run.returncode == 2
    assert run.stderr.splitlines() == [f'--json {target} cannot be written: '
                                       'No such file or directory']


class Refused(ValueError):
    """Looks like what the package defines."""

    __module__ = 'gato_ros.policy.checkpoint'


@pytest.mark.parametrize(('error', 'says'), [
    (ConfigError('rate_hz is 0, expected > 0'), 'rate_hz is 0, expected > 0'),
    (Refused('model.safetensors is missing'), 'model.safetensors is missing'),
    (ModuleNotFoundError('No module', name='torch'), 'torch is not installed')])
def test_refusals_become_sentences(monkeypatch: pytest.MonkeyPatch, error: Exception, says: str,
                                   capsys: pytest.CaptureFixture[str]) -> None:
    def fail(**_: object) -> None:
        raise error
    monkeypatch.setattr(cli, 'app', fail)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith(says)


@pytest.mark.parametrize('error', [ValueError('odd'), ModuleNotFoundError(name='gato_ros.simm')])
def test_faults_of_ours_keep_their_traceback(monkeypatch: pytest.MonkeyPatch,
                                             error: Exception) -> None:
    def fail(**_: object) -> None:
        raise error
    monkeypatch.setattr(cli, 'app', fail)
    with pytest.raises(type(error)):
        cli.main()


def test_control_c_ends_with_130() -> None:
    code = ('import sys\nfrom gato_ros import robot\nfrom gato_ros.tools import cli\n'
            'def interrupt(name): raise KeyboardInterrupt\n'
            'robot.load_robot = interrupt\nsys.argv = ["gato-ros", "tokens"]\ncli.main()')
    run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                         env={**os.environ})
    assert run.returncode == 130, run.stderr
    assert 'Traceback' not in run.stderr
