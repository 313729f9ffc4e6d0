"""`gato-ros teleop --sim`: one command brings up everything that a demonstration needs."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from ros_bench import Processes, socket_at, until

from gato_ros.episodes.recordings.mcap_file import read_about
from gato_ros.tools.graph.simulate import FIRST_SEED


@pytest.mark.sim
@pytest.mark.slow
def test_scenes_are_recorded_and_changed_from_the_page(
        processes: Processes, tmp_path: Path, checkpoint: Path) -> None:
    program = processes.start(
        '-m', 'gato_ros.tools.cli', 'teleop', '--sim', '--port', '0', '--task', 'lift_red_narrow',
        '--demos', str(tmp_path / 'demos'), '--checkpoint', str(checkpoint))
    address = until(lambda: next((line.split()[1] for line in program.log.read_text().split('\n')
                                  if line.startswith('cockpit: ')), None), what='the page')
    asyncio.run(asyncio.wait_for(use(address.rstrip('/')), timeout=180))
    program.send_signal(signal.SIGINT)
    assert program.wait(timeout=60) == 130
    file, = (tmp_path / 'demos').glob('*.mcap')
    about = read_about(file)
    assert (about['sentence'], about['outcome']) == ('lift the red block', 'failure')


async def use(address: str) -> None:
    """Wait for all nodes, record a little, and go to the next scene."""
    socket, headers = socket_at(address)
    async with aiohttp.ClientSession() as session, session.ws_connect(
            socket, headers=headers) as page:

        async def come(kind: str, true: Any) -> dict[str, Any]:
            async for message in page:
                if message.type == aiohttp.WSMsgType.TEXT:
                    found = json.loads(message.data)
                    if found['type'] == kind and true(found):
                        return found
            raise AssertionError('the page was closed')

        async def ask(what: str, answer: str, **more: Any) -> None:
            await page.send_json({'type': 'ask', 'what': what, **more})
            await come('answer', lambda found: answer in found['words'])

        state = await come('state', lambda found: found['scenes'] and found['episode'] and {
            'safety', 'recorder', 'policy'} <= found['status'].keys())
        assert not state['policy_on'] and state['episode']['seed'] == FIRST_SEED
        await ask('record', 'recording lift_the_red_block')
        await come('state', lambda found: int(
            found['status']['recorder']['messages']) > 50)
        await ask('save', 'saved lift_the_red_block', yes=False)
        await ask('scene', 'the next scene begins')
        await come('state', lambda found: found['episode']['seed'] == FIRST_SEED + 1)
