"""What ``gato-ros data report`` counts, against what was written."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from gato_ros.domains.registry import load_domain
from gato_ros.episodes.episode import EpisodeInfo, EpisodeWriter
from gato_ros.spec import example_observation
from gato_ros.tokens.text import load_text
from gato_ros.tools.cli import main as program

LENGTHS = {'reach_red_wide': (3, 5), 'stack_wide': (4,)}
TOKENS = 56  # of the arm's timestep


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three episodes of two tasks, with returns 0, 1 and 2."""
    spec, number = load_domain('stacking').specification(''), 0
    (tmp_path / 'data').mkdir()
    for task, lengths in LENGTHS.items():
        for length in lengths:
            writer = EpisodeWriter()
            for step in range(length):
                action = {f.name: np.zeros(f.size) for f in spec.actions}
                writer.add(example_observation(spec, step), action, action, {})
            writer.save(tmp_path / 'data' / f'{number}.safetensors', EpisodeInfo(
                'panda_sim', spec.hash, task, '', number, 'expert', number > 0,
                domain='stacking', specification=spec, score=float(number)))
            number += 1
    return tmp_path / 'data'


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def run(*words: object) -> tuple[dict, int]:
        monkeypatch.setattr('sys.argv', ['gato-ros', 'data', 'report', *map(str, words), '--json',
                                         str(tmp_path / 'report.json')])
        with pytest.raises(SystemExit) as ended:
            program()
        return json.loads((tmp_path / 'report.json').read_text()), ended.value.code
    return run


def test_it_counts_by_task_and_by_domain(folder: Path, report) -> None:
    found, code = report(folder)
    reach, stack = found['tasks']
    assert (reach['task'], reach['episodes'], reach['timesteps']) == ('reach_red_wide', 2, 8)
    assert (reach['tokens'], reach['pictures']) == (8 * TOKENS, 8 * 2)
    assert reach['return'] == {'mean': 0.5, 'least': 0.0, 'most': 1.0}
    assert (reach['successes'], reach['judged'], stack['successes']) == (1, 2, 1)
    whole, = found['domains']
    assert (whole['domain'], whole['timesteps'], whole['return']['mean']) == ('stacking', 12, 1.0)
    assert whole['bytes'] == sum(file.stat().st_size for file in folder.iterdir())
    assert code == 0 and found['problems'] == []


def test_of_a_mixture_it_counts_words_too_and_names_what_is_missing(
        folder: Path, report, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / '1.safetensors').write_bytes(b'torn')
    (tmp_path / 'one.md').write_text('the red block')
    (tmp_path / 'scenes').mkdir()
    cv2.imwrite(str(tmp_path / 'scenes' / 'a.png'), np.zeros((8, 8, 3), np.uint8))
    (tmp_path / 'scenes' / 'captions.jsonl').write_text(
        2 * '{"picture": "a.png", "text": "black"}\n')
    (tmp_path / 'mix.yaml').write_text(f"""sources:
- {{domain: stacking, folders: [{folder}, {tmp_path / 'none'}], collect: {{episodes: 1}}}}
- {{documents: ['{tmp_path}/*.md']}}
- {{pictures: ['{tmp_path / 'scenes'}'], name: scenes}}
""")
    found, code = report('--mixture', tmp_path / 'mix.yaml')
    documents, scenes, arm = found['domains']
    assert (documents['domain'], documents['tokens'], documents['bytes']) == (
        'documents', len(load_text().encode('the red block')), 13)
    assert (scenes['domain'], scenes['episodes'], scenes['pictures']) == ('scenes', 2, 1)
    assert arm['episodes'] == 2
    said = ' '.join(found['problems'])
    assert code == 1 and '1.safetensors is truncated' in said and 'none holds no episodes' in said
    assert '1.safetensors is truncated' in capsys.readouterr().err
