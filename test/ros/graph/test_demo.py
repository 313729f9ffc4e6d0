"""The demo: figures, a video that plays, and no process left behind."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from pathlib import Path

import aiohttp
import cv2
import psutil
import pytest
from ros_bench import Bench, Processes, until

from gato_ros.config import ConfigError
from gato_ros.tools.graph.children import GraphError, free_domain, is_free
from gato_ros.tools.graph.demo import run_demo


def test_a_domain_that_somebody_is_in_is_not_taken(bench: Bench) -> None:
    """Or two demos on one machine would drive each other's arms."""
    ours = int(os.environ['ROS_DOMAIN_ID'])
    assert not is_free(ours)
    assert all(free_domain() != ours for _ in range(500))


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


@pytest.mark.sim
@pytest.mark.slow
def test_a_person_takes_over_in_the_demos_page_and_it_ends_by_itself(
        processes: Processes, checkpoint: Path, tmp_path: Path) -> None:
    demo = processes.start('-c', 'from gato_ros.tools.graph.demo import run_demo; '
                           f'run_demo(seeds=[3, 4], checkpoint="{checkpoint}", out="{tmp_path}", '
                           'time_limit_s=5.0, cockpit="127.0.0.1")')
    own, token = until(lambda: re.search(r'cockpit: (http://127.0.0.1:[0-9]+)/\?token=(\S+)\n',
                                         demo.log.read_text()), what='the link').groups()

    told = [file for file in (tmp_path / 'log').rglob('*.log') if token in file.read_text()]
    assert told and not any(file.stat().st_mode & 0o077 for file in told)  # its user's alone

    async def push() -> None:
        async with aiohttp.ClientSession() as session:
            page = await session.ws_connect(f'{own}/socket?token={token}',
                                            headers={'Origin': own})
            while demo.log.read_text().count('seed ') < 1:
                await page.send_json({'type': 'wish', 'wish': {'linear': [0, 0, 1]}})
                await asyncio.sleep(0.02)
            await page.close()

    asyncio.run(push())
    assert demo.wait(timeout=60) == 0
    rows = json.loads((tmp_path / 'summary.json').read_text())['episodes']
    assert [row['assisted'] for row in rows] == [True, False]
    assert all(row['answers'] > 10 for row in rows)  # the policy goes on answering meanwhile


def test_the_demos_page_needs_real_time() -> None:
    with pytest.raises(ConfigError, match='expected real_time: physics does not wait for people'):
        run_demo(mode='lock_step', cockpit='127.0.0.1')


def test_a_child_that_dies_is_named_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(GraphError) as caught:
        run_demo(episodes=1, checkpoint=tmp_path / 'nowhere', out=tmp_path / 'out')
    assert str(caught.value) == ('the policy node ended with status 1: error: '
                                 f'{tmp_path}/nowhere is no checkpoint: config.json is missing')
    assert psutil.Process().children() == []


def test_a_terminated_demo_takes_its_children_along(processes: Processes, checkpoint: Path,
                                                    tmp_path: Path) -> None:
    demo = processes.start('-c', 'import sys; from gato_ros.tools.graph.demo import run_demo; '
                           f'run_demo(checkpoint="{checkpoint}", out="{tmp_path}")')
    children = until(lambda: len(found := psutil.Process(demo.pid).children()) == 3 and found)
    demo.send_signal(signal.SIGTERM)
    assert demo.wait(timeout=30) == 143
    assert psutil.wait_procs(children, timeout=30)[1] == []
