"""What strangers wrote: short in an error, within budgets, never waited for."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from gato_ros.config import ConfigError, data_path, read_yaml
from gato_ros.robot import load_robot
from gato_ros.tools.cli import main
from gato_ros.untrusted import Refused, brief, check_shape, open_file, parse_json, plain, read_text

PANDA = data_path('config', 'robots', 'panda_sim.yaml')


def aliases(depth: int) -> Any:
    """Return ten references to ten references to ... a word."""
    found: Any = 'x'
    for _ in range(depth):
        found = [found] * 10
    return found


@pytest.mark.parametrize('value', [
    'x' * 10**6, 10**9999, aliases(12), {str(i): i for i in range(10**5)}, [[[[[[0]]]]]],
    '\x1b[2J\r\n', b'\x00' * 10**6, list(range(10**6))], ids=range(8))
def test_a_value_is_shown_in_two_hundred_characters(value: Any) -> None:
    began = time.monotonic()
    shown = brief(value)
    assert len(shown) <= 200 and shown.isprintable() and time.monotonic() - began < 1
    assert brief({'a': [1, 2.5, 'x']}) == "{'a': [1, 2.5, 'x']}"


def test_a_sentence_is_one_plain_line() -> None:
    assert plain('a\x1b[31m\nb') == 'a [31m b'
    assert len(plain('x' * 10_000)) <= 800 and plain('x' * 10_000).endswith(' ...')


@pytest.mark.parametrize(('text', 'says'), [
    ('{', 'no JSON'), ('[' * 100_000, 'nested deeper than 20'), ('[' * 25 + ']' * 25, 'nested'),
    ('9' * 5000, 'a number of 5000 digits'), ('{"a": 1, "a": 2}', "key 'a' comes twice"),
    (f'[{"0," * 200_000}0]', 'more than 100000 values'), ('"' + 'x' * 2_000_000 + '"', 'at most')],
    ids=range(7))
def test_json_beyond_a_budget_is_refused(text: str, says: str) -> None:
    with pytest.raises(Refused, match=says):
        parse_json(text)
    assert parse_json('{"a": [1, 2.5, null]}') == {'a': [1, 2.5, None]}


def test_aliases_count_each_time() -> None:
    with pytest.raises(Refused, match='more than 100000 values'):
        check_shape(aliases(12))


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / 'pipe')
    for place in (tmp_path / 'pipe', Path('/dev/zero'), tmp_path):
        with pytest.raises(OSError, match='no regular file'):
            open_file(place)
        with pytest.raises(ConfigError, match=f'{place} cannot be read: it is no regular file'):
            read_yaml(place)
    (tmp_path / 'latin').write_bytes(b'a: \xe4')
    with pytest.raises(Refused, match='byte 3 is no UTF-8'):
        read_text(tmp_path / 'latin')


LAUGHS = '[&a0 [lol,lol],' + ','.join(
    f'&a{i} [{",".join([f"*a{i - 1}"] * 10)}]' for i in range(1, 10)) + ']'
MERGES = 'm0: &m0 {x: 1}\n' + '\n'.join(
    f'm{i}: &m{i} {{<<: [{",".join([f"*m{i - 1}"] * 10)}]}}' for i in range(1, 10))


@pytest.mark.parametrize(('text', 'says'), [
    (f'name: {LAUGHS}', 'more than 100000 values'), (MERGES, 'merge key'),
    ('name: ' + '[' * 5000 + ']' * 5000, 'nested deeper than 20'), ('a: &a [*a]', 'nested'),
    ('rate_hz: ' + '9' * 5000, 'not of its tag'), ('rate_hz: !!int x', 'not of its tag'),
    ('rate_hz: !!timestamp x', 'not of its tag'), ('a: 2001-99-99', 'not of its tag'),
    ('rate_hz: 1\nrate_hz: 2', "key 'rate_hz' comes twice"),
    ('a: !!python/object:os.system x', 'could not determine a constructor'),
    ('? [a]\n: b', 'found unhashable key'), ('a: ' + 'x' * 500_000, 'longer than 131072 bytes')],
    ids=range(12))
def test_yaml_beyond_a_budget_is_one_sentence(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / 'arm.yaml'
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_yaml(file)
    assert says in str(caught.value) and str(caught.value).startswith(str(file))


@pytest.mark.parametrize(('old', 'new', 'says'), [
    ('rate_hz: 20.0', f'rate_hz: {10**47}', 'rate_hz'), ('rate_hz: 20.0', 'rate_hz: .nan',
    'finite'),
    ('rate_hz: 20.0', f'rate_hz: {10**400}', 'a finite number, found a number of 1329 bits'),
    ('height: 64', f'height: {10**18}', 'expected at most 9007199254740992'),
    ('name: panda_sim', 'name: {? {x: 1} : y}', 'unhashable')], ids=range(5))
def test_numbers_that_no_robot_has_are_refused(tmp_path: Path, old: str, new: str,
                                               says: str) -> None:
    file = tmp_path / 'arm.yaml'
    file.write_text(PANDA.read_text().replace(old, new, 1))
    with pytest.raises(ConfigError, match=says):
        load_robot(file)


def run(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, '-c', f'from {main.__module__} import main; main()',
                           *args], capture_output=True, text=True, timeout=60, errors='replace',
                          env={**os.environ, **environment})


def test_a_terminal_that_cannot_show_it_and_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    from recordings import ROBOT, serialised

    from gato_ros.episodes.recordings.session import Session
    session = Session(ROBOT, tmp_path / 'demos', {}, min_free_mb=1)
    session.start('把红色积木 🧱')
    for row in serialised(6):
        session.write(*row)
    file = session.save('success').file
    shown = run('record', 'info', str(file), PYTHONIOENCODING='latin-1')
    assert shown.returncode == 0 and '\\u628a' in shown.stdout and 'U0001f9f1' in shown.stdout
    odd = tmp_path / 'd\udce4'
    odd.mkdir()
    file.rename(odd / 'demo.mcap')
    done = run('record', 'report', str(odd), '--out', str(tmp_path / 'page.html'),
               LC_ALL='C', PYTHONCOERCECLOCALE='0', PYTHONUTF8='0')
    assert done.returncode == 0 and (tmp_path / 'page.html').exists(), done.stderr
    for args in (('record', 'report', str(odd), '--out', '/proc/none/page.html'),
                 ('import-bag', str(odd / 'demo.mcap'), '--out', '/proc/none', '--task',
                  'stack_wide'), ('export', 'lerobot', str(odd), '--out', '/proc/none/set'),
                 ('record', 'trim', str(odd / 'demo.mcap'), '--out', '/proc/none/x.mcap')):
        refused = run(*args)
        assert refused.returncode == 2 and 'Traceback' not in refused.stderr, refused.stderr
        assert len(refused.stderr.splitlines()) == 1 and '/proc/none' in refused.stderr
