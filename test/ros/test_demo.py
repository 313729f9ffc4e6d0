"""The demo: figures, a video that plays, and no process left behind."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import cv2
import psutil
import pytest
from ros_bench import Processes, until

from gato_ros.tools.demo import DemoError, run_demo


@pytest.mark.sim
def test_the_demo_writes_figures_and_a_video(tmp_path: Path, checkpoint: Path,
                                             capsys: pytest.CaptureFixture[str]) -> None:
    summary = run_demo(seeds=[3, 4], checkpoint=checkpoint, out=tmp_path, mode='lock_step',
                       time_limit_s=0.5)
    assert json.loads((tmp_path / 'summary.json').read_text())['n'] == summary['n'] == 2
    for row, seed in zip(summary['episodes'], (3, 4), strict=True):
        assert (row['seed'], row['steps'], row['answers']) == (seed, 10, 10)
        assert 0 < row['latency_ms_p50'] <= row['latency_ms_p99'] and row['rate_hz'] > 0
    assert summary['largest_process'] == 'policy' and summary['memory_mb']['policy'] > 100
    video = cv2.VideoCapture(str(tmp_path / 'demo.mp4'))
    frames = 0
    while video.read()[0]:
        frames += 1
    assert frames == 2 * (10 + 20)  # what was seen, and the last picture held
    assert 'never reached' in capsys.readouterr().out
    assert psutil.Process().children() == []


def test_a_child_that_dies_is_named_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(DemoError) as caught:
        run_demo(episodes=1, checkpoint=tmp_path / 'nowhere', out=tmp_path / 'out')
    assert str(caught.value) == ('the policy node ended with status 1: error: '
                                 f'{tmp_path}/nowhere is no checkpoint: config.json is missing')
    assert psutil.Process().children() == []


def test_a_terminated_demo_takes_its_children_along(processes: Processes, checkpoint: Path,
                                                    tmp_path: Path) -> None:
    demo = processes.start('-c', 'import sys; from gato_ros.tools.demo import run_demo; '
                           f'run_demo(checkpoint="{checkpoint}", out="{tmp_path}")')
    children = until(lambda: len(found := psutil.Process(demo.pid).children()) == 3 and found)
    demo.send_signal(signal.SIGTERM)
    assert demo.wait(timeout=30) == 143
    assert psutil.wait_procs(children, timeout=30)[1] == []
