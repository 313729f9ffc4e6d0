"""The cockpit: who may come in, who has control, what it says; without a browser."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from browser import CHROMIUM
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from ros_bench import Bench, Processes, come_true, page_of, socket_at, until
from std_srvs.srv import SetBool

from gato_ros.episodes.recordings.session import Session
from gato_ros.nodes import MODULES
from gato_ros.nodes.common import qos
from gato_ros.nodes.teleoperation.cockpit import BURST, PAGES, WAITING, Cockpit
from gato_ros.nodes.teleoperation.teleop_node import TeleopNode
from gato_ros.robot import load_robot

ROBOT = load_robot('panda_sim')
SEED = 0
SENTENCE = 'stack the red block on the blue block'
chromium = pytest.mark.skipif(CHROMIUM is None, reason='Chromium is not installed')


async def status(address: str, **headers: str) -> int:
    async with aiohttp.ClientSession() as session, session.get(address, headers=headers) as answer:
        return answer.status


async def socket_status(address: str, **headers: str) -> int:
    async with aiohttp.ClientSession() as session:
        try:
            async with session.ws_connect(address, headers=headers):
                return 101
        except aiohttp.WSServerHandshakeError as error:
            return error.status


def socket_of(cockpit: Cockpit) -> tuple[str, dict[str, str]]:
    return socket_at(cockpit.address)


def test_strangers_stay_outside(cockpit: Cockpit, node: TeleopNode) -> None:
    own = f'127.0.0.1:{cockpit.port}'
    page, socket = cockpit.address, socket_of(cockpit)[0]
    assert page.startswith(f'http://{own}/?token=') and len(page.partition('=')[2]) > 20
    assert asyncio.run(status(page)) == 200
    assert asyncio.run(status(f'http://{own}/')) == 403  # another user of this machine
    assert asyncio.run(socket_status(f'http://{own}/socket', Origin=f'http://{own}')) == 403
    assert asyncio.run(status(page, Host='evil.example')) == 403  # a name that was bound anew
    assert asyncio.run(socket_status(socket, Origin=f'http://{own}')) == 101
    assert asyncio.run(socket_status(socket, Origin='https://evil.example')) == 403
    assert asyncio.run(socket_status(socket)) == 403
    assert asyncio.run(status(f'http://{own}/../spec.py')) == 404
    wide = Cockpit(node, '0.0.0.0', port=0)
    try:
        assert '?token=' in wide.address
        token = wide.address.partition('=')[2]
        there = f'http://127.0.0.1:{wide.port}/'
        assert asyncio.run(status(there)) == 403
        assert asyncio.run(status(f'{there}?token=guess')) == 403
        assert asyncio.run(status(f'{there}?token={token}')) == 200
        origin = f'http://127.0.0.1:{wide.port}'
        assert asyncio.run(socket_status(f'{there}socket', Origin=origin)) == 403
        assert asyncio.run(socket_status(f'{there}socket?token={token}', Origin=origin)) == 101
    finally:
        wide.close()


def test_two_pages_and_nonsense(cockpit: Cockpit, node: TeleopNode) -> None:
    address, headers = socket_of(cockpit)

    async def answer(socket: Any) -> str:
        async for message in socket:
            if message.type == aiohttp.WSMsgType.TEXT:
                found = json.loads(message.data)
                if found['type'] == 'answer':
                    return found['words']
        raise AssertionError('no answer')

    async def talk() -> None:
        push = {'type': 'wish', 'wish': {'linear': [1, 0, 0]}}
        async with aiohttp.ClientSession() as session:
            one = await session.ws_connect(address, headers=headers)
            two = await session.ws_connect(address, headers=headers)

            async def hold() -> None:
                while not one.closed:
                    await one.send_json(push)
                    await asyncio.sleep(0.02)

            holding = asyncio.create_task(hold())
            await come_true(lambda: node.control.holder)
            await two.send_json(push)
            assert await answer(two) == (f'{node.control.holder} has control, expected nobody: '
                                         'it must be given back first')
            for nonsense in ('{', '[]', '{"type": "fly"}', '{"type": "wish", "wish": 3}',
                             '{"type": "wish", "wish": {"linear": [NaN, 0, 0]}}',
                             '{"type": "wish", "wish": {"speed": 99}}',
                             '{"type": "ask", "what": "rm"}'):
                await two.send_str(nonsense)
                assert 'which cannot be done' in await answer(two), nonsense
            holder = node.control.holder
            for wish in ({'type': 'ask', 'what': 'record'}, {'type': 'ask', 'what': 'clear'},
                         {'type': 'policy', 'on': True}, {'type': 'prompt', 'words': 'x'},
                         {'type': 'ask', 'what': 'scene'}, {'type': 'remark', 'words': 'x'}):
                await two.send_json(wish)
                assert await answer(two) == (
                    f'{holder} has control, expected nobody: it must be given back first')
            await two.send_json({'type': 'ask', 'what': 'stop'})  # everybody may
            assert await answer(two) == 'nobody offers safety/stop: its node does not run'
            assert not node.policy_on
            holder = node.control.holder or holder
            holding.cancel()
            await one.close()  # as a tab that is closed
            await come_true(lambda: node.control.holder == '' and node.control.wish() is None)
            await two.send_json(push)
            await come_true(lambda: node.control.holder not in ('', holder))
            await two.send_json({'type': 'ask', 'what': 'record'})  # now it is for it to say
            assert await answer(two) == 'nobody offers recorder/start: its node does not run'
            await two.close()
    asyncio.run(talk())


def test_sentences_are_those_of_the_recordings_and_of_the_checkpoint(
        processes: Processes, tmp_path: Path) -> None:
    for sentence, outcome in (('wave', 'success'), ('spill', 'failure')):
        session = Session(ROBOT, tmp_path / 'demos', {}, min_free_mb=1)
        session.start(sentence)
        session.save(outcome)
    (tmp_path / 'demos' / 'torn.mcap').touch()
    where, headers = socket_at(page_of(processes.node('teleop_node', web=True, port=0,
                                                      folder=tmp_path / 'demos')))

    async def offers(wanted: Callable[[list[str]], bool]) -> list[str]:
        async with aiohttp.ClientSession() as session, session.ws_connect(
                where, headers=headers) as socket:
            async for message in socket:
                if message.type == aiohttp.WSMsgType.TEXT:
                    found = json.loads(message.data)
                    if found['type'] == 'prompts' and wanted(found['sentences']):
                        return found['sentences']
        raise AssertionError('the page was closed')

    async def told(wanted: Callable[[list[str]], bool]) -> list[str]:
        return await asyncio.wait_for(offers(wanted), 60)

    assert asyncio.run(told(bool)) == ['wave']
    processes.node('policy_node', autostart=True)
    assert asyncio.run(told(lambda found: len(found) > 1)) == [SENTENCE, 'wave']


def test_two_robots_in_one_graph_are_told_apart(bench: Bench, processes: Processes) -> None:
    address, headers = socket_at(page_of(processes.start(
        '-m', MODULES['teleop_node'], '--ros-args', '-r', '__ns:=/left', '-p', 'web:=true', '-p',
        'port:=0')))
    publisher = bench.publisher(DiagnosticArray, '/diagnostics', qos.EVENTS)
    until(publisher.get_subscription_count, what='the page')

    async def read() -> dict[str, str]:
        async with aiohttp.ClientSession() as session, session.ws_connect(
                address, headers=headers) as socket:
            async for message in socket:
                if message.type == aiohttp.WSMsgType.TEXT:
                    found = json.loads(message.data)
                    publisher.publish(DiagnosticArray(status=[
                        DiagnosticStatus(name=name, message=f'it is {name}')
                        for name in ('safety', 'left/safety', 'right/safety')]))
                    if found['type'] == 'state' and len(found['status']) == 3:
                        return {name: row['message'] for name, row in found['status'].items()}
        raise AssertionError('the page was closed')

    assert asyncio.run(asyncio.wait_for(read(), 60)) == {
        'safety': 'it is left/safety', '/safety': 'it is safety',
        '/right/safety': 'it is right/safety'}


def test_no_page_starves_another(cockpit: Cockpit, node: TeleopNode) -> None:
    """One floods, others are open, one asks for what does not answer: it is heard all the same."""
    address, headers = socket_of(cockpit)

    async def talk() -> None:
        async with aiohttp.ClientSession() as session:
            flood = await session.ws_connect(address, headers=headers)
            with suppress(ConnectionError, aiohttp.ClientConnectionError):
                for _ in range(20 * BURST):
                    await flood.send_json({'type': 'drawn', 'arrived_s': 1e308})
            while (await flood.receive()).type != aiohttp.WSMsgType.CLOSE:
                pass
            assert flood.close_code == aiohttp.WSCloseCode.POLICY_VIOLATION
            pages = [await session.ws_connect(address, headers=headers) for _ in range(PAGES)]
            assert await asyncio.to_thread(
                lambda: asyncio.run(socket_status(address, **headers))) == 503
            one = pages[0]
            for _ in range(WAITING + 1):
                await one.send_json({'type': 'ask', 'what': 'save'})
            await one.send_json({'type': 'wish', 'wish': {'linear': [1, 0, 0]}})
            await come_true(lambda: node.control.wish() is not None)  # it waits for nobody
            await one.send_json({'type': 'release'})
            began = time.monotonic()
            await come_true(lambda: not node.control.holder)
            assert time.monotonic() - began < 5.0
            for page in pages:
                await page.close()

    bench_service = node.create_service(SetBool, 'recorder/save', lambda _, response: (
        time.sleep(0.1), response)[1])
    try:
        asyncio.run(talk())
    finally:
        node.destroy_service(bench_service)
