"""docs/domains.md, word for word: its file, its mixture, its commands, from an empty folder."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import yaml

DOCUMENT = Path(__file__).resolve().parents[2] / 'docs' / 'domains.md'


def blocks(kind: str) -> list[str]:
    """Return the document's code blocks of a kind; every second fence opens one."""
    parts = DOCUMENT.read_text(encoding='utf-8').split('```')
    inside = [part.partition('\n') for part in parts[1::2]]
    return [text for title, _, text in inside if title == kind]


def commands() -> list[str]:
    return [line for block in blocks('') for line in block.splitlines()
            if line.startswith('gato-ros ')]


@pytest.mark.slow
def test_a_stranger_adds_a_domain_by_the_document_alone(tmp_path: Path) -> None:
    (tmp_path / 'grid.py').write_text(blocks('python')[0])
    mixture, pendulum = blocks('yaml')
    (tmp_path / 'grid.yaml').write_text(mixture)
    assert len(yaml.safe_load(mixture)['mixture']) == 1, 'one line of a mixture'
    said = {}
    for command in commands():
        done = subprocess.run(
            [sys.executable, '-m', 'gato_ros.tools.cli', *command.split()[1:]],
            cwd=tmp_path, capture_output=True, text=True, timeout=400)
        assert done.returncode == 0, f'{command}\n{done.stdout}\n{done.stderr}'
        said[command.split()[1]] = done.stdout
    assert [*said] == ['tokens', 'collect', 'train', 'evaluate', 'play', 'bench']
    assert re.search(r'walker\.x +discrete', said['tokens'])
    assert re.search(r'move\.direction +action .* yes', said['tokens'])
    assert '200 episodes in data/grid, 200 of them usable' in said['collect']
    table = [line.split('|') for line in said['evaluate'].splitlines()
             if line.startswith('| grid.py/reach')]
    rows = {cells[3].strip(): cells for cells in table}
    policy, chance = (float(rows[who][4].strip().split()[0]) for who in ('policy', 'random'))
    assert rows['expert'][4].strip() == '100.0 %' and policy > 90.0 > 70.0 > chance
    film = cv2.VideoCapture(str(tmp_path / 'out/grid/grid-reach-policy-00000.mp4'))
    there, frame = film.read()
    assert there and frame.shape[0] == 320 and frame.max() > 200, 'the walker is seen'
    figures = json.loads((tmp_path / 'out/bench/bench.json').read_text())
    assert figures['stages']['ms']['total']['n'] > 0
    (tmp_path / 'pendulum.yaml').write_text(pendulum)
    listed = subprocess.run([sys.executable, '-m', 'gato_ros.tools.cli', 'tokens', '--task',
                             'pendulum.yaml/default'], cwd=tmp_path, capture_output=True,
                            text=True)
    assert re.search(r'action\.0 +action', listed.stdout), listed.stderr
