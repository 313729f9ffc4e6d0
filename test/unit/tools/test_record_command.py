"""gato-ros record: what it shows, refuses, repairs, cuts."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from mcap_ros2._dynamic import serialize_dynamic
from recordings import (
    FRONT,
    ROBOT,
    START_MS,
    STEPS,
    header,
    messages,
    original,
    serialised,
    write,
)
from typer.testing import CliRunner, Result

from gato_ros.episodes.recordings.definitions import DEFINITIONS, DIAGNOSTICS, WORDS
from gato_ros.episodes.recordings.episode_file import PART
from gato_ros.episodes.recordings.inspect import contents, inspect, refusals, trim
from gato_ros.episodes.recordings.mcap_file import BagError
from gato_ros.episodes.recordings.session import Session
from gato_ros.episodes.recordings.topics import MARK
from gato_ros.tools.cli import app


def record(folder: Path, outcome: str = 'success', steps: int = STEPS,
           remark: str = '') -> Path:
    session = Session(ROBOT, folder, {'source': 'teleoperation'}, min_free_mb=1)
    session.start('lift <the> red block', 'lift_red_wide')
    for topic, log_ns, data in serialised(steps):
        session.write(topic, log_ns, data)
    if remark:
        words = serialize_dynamic(WORDS, DEFINITIONS[WORDS])[WORDS]
        session.write(MARK, log_ns, words({'data': remark}))
    return session.save(outcome).file


def run(*args: object) -> Result:
    return CliRunner().invoke(app, ['record', *map(str, args)])


def test_info_and_check(tmp_path: Path) -> None:
    good, bad = record(tmp_path), record(tmp_path, 'failure')
    shown = run('info', good)
    assert 'lift <the> red block, success, robot panda_sim' in shown.output
    assert f'{STEPS} /{FRONT}' in shown.output
    checked = run('check', good, '--json', tmp_path / 'done.json')
    assert checked.exit_code == 0 and f'yes  {good}: {STEPS} steps' in checked.output
    assert json.loads((tmp_path / 'done.json').read_text())['recordings'][0]['steps'] == STEPS
    (tmp_path / 'torn.mcap').write_bytes(good.read_bytes()[:5000])
    checked = run('check', tmp_path)
    assert checked.exit_code == 1
    assert f'no   {bad}: it is marked as a failure' in checked.output
    assert 'torn.mcap is cut off' in checked.output
    (tmp_path / 'empty').mkdir()
    assert isinstance(run('info', tmp_path / 'empty').exception, BagError)


def test_repair_takes_what_a_crash_left(tmp_path: Path) -> None:
    whole = record(tmp_path, steps=60)
    (tmp_path / f'open.mcap{PART}').write_bytes(whole.read_bytes()[:-20_000])
    done = run('repair', tmp_path)
    assert done.exit_code == 0 and 'messages in' in done.output
    assert sum(contents(tmp_path / 'open.mcap').topics.values()) > 100
    assert 'nothing was left open' in run('repair', tmp_path).output


def test_trim_keeps_the_middle(tmp_path: Path) -> None:
    file, out = record(tmp_path, steps=10), tmp_path / 'short.mcap'
    assert run('trim', file, '--out', out, '--start', 0.1, '--stop', 0.31).exit_code == 0
    verdict = inspect(out, ROBOT)
    assert verdict.refusal == '' and verdict.steps == 5
    assert np.array_equal(verdict.pictures['front'][0], original(2)[0].images['front'])
    assert '0.1 to 0.31 s of' in contents(out).about['trimmed']
    with pytest.raises(BagError, match='exists already'):
        trim(file, out, 0, 1)
    with pytest.raises(BagError, match='no message from 5 to 6 s'):
        trim(file, tmp_path / 'none.mcap', 5, 6)


def test_the_report_is_one_page_with_pictures(tmp_path: Path) -> None:
    record(tmp_path), record(tmp_path, '')
    (tmp_path / 'remarks').mkdir()
    record(tmp_path / 'remarks', remark='<slipped> once').rename(tmp_path / 'third.mcap')
    page = tmp_path / 'report.html'
    assert run('report', tmp_path, '--out', page).exit_code == 0
    text = page.read_text()
    assert '2 of 3 may become training data' in text
    assert 'nobody has marked how it ended' in text
    assert 'lift &lt;the&gt; red block' in text and '<the>' not in text
    assert '&lt;slipped&gt; once' in text
    assert '<script' not in text and 'http' not in text  # nothing is loaded
    pictures = re.findall(r'data:image/jpeg;base64,([^"]+)', text)
    assert len(pictures) == 6
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(pictures[0]), np.uint8), 1)
    assert picture.shape == (96, 6 * 96, 3)


def test_sentences_of_the_gate_that_differ_in_numbers_are_counted_as_one(tmp_path: Path) -> None:
    said = [f'fault: no proposal for 0.{ms} s, expected one in 0.05 s' for ms in range(101, 131)]
    rows = messages() + [('/diagnostics', START_MS, DIAGNOSTICS, {
        'header': header(START_MS), 'status': [{'level': 2, 'name': 'safety', 'message': words,
                                                'hardware_id': '', 'values': []}]})
        for words in said]
    assert refusals(write(tmp_path / 'demo.mcap', rows)) == {said[0]: 30}
