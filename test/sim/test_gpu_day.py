"""The GPU's ten minutes, rehearsed: every part runs, and what it writes is whole."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import safe_open

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_rehearsal_runs_every_part_and_leaves_a_checkpoint(tmp_path):
    done = subprocess.run(
        ['bash', str(ROOT / 'scripts' / 'gpu_day.sh')], capture_output=True, text=True,
        timeout=240, check=False, cwd=tmp_path,
        env={**os.environ, 'REHEARSE': '1', 'OUT': 'day', 'PYTHON': sys.executable,
             'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': ''})
    assert done.returncode == 0, done.stderr[-2000:]
    out = tmp_path / 'day'
    found = json.loads((out / 'gpu_day.json').read_text())
    assert found['rehearsal'] is True
    parts = found['parts']
    assert {name: part['failed'] for name, part in parts.items() if 'failed' in part} == {}
    assert parts['tests']['passed'] >= 1
    assert parts['training tiny']['timesteps_per_s'] > 0
    assert parts['training tiny']['profile'] and parts['control profile']['profile']
    files = [out / name for name in parts['learn']['files']]
    assert all(file.stat().st_size < 16 * 2**20 for file in files)
    whole = tmp_path / 'model.safetensors'
    whole.write_bytes(b''.join(file.read_bytes() for file in files))
    with safe_open(whole, 'pt') as weights:
        assert 'embedding.table.weight' in weights.keys()  # noqa: SIM118
    assert len(list(out.iterdir())) <= 8 and (out / 'gpu_day.png').stat().st_size > 0


def test_without_a_gpu_it_says_so_and_measures_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / 'scripts' / 'gpu_day.py'), '--out', str(tmp_path / 'day')],
        capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, 'CUDA_VISIBLE_DEVICES': '', 'PYTHONPATH': str(ROOT)})
    assert done.returncode == 1 and 'no CUDA device is here' in done.stderr
    assert not (tmp_path / 'day').exists()
