"""Questions in the cockpit: asked, answered as it is said, bounded, never taken for HTML."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from browser import CHROMIUM, Browser
from ros_bench import Bench, socket_at, until
from std_msgs.msg import String

from gato_ros.nodes.common import qos
from gato_ros.nodes.teleoperation.cockpit import Cockpit
from gato_ros.nodes.teleoperation.talk import LINES, LONGEST
from gato_ros.nodes.teleoperation.teleop_node import TeleopNode

chromium = pytest.mark.skipif(CHROMIUM is None, reason='Chromium is not installed')


class Answers:
    """In the place of a policy node: hears questions, says what it is told to say."""

    def __init__(self, bench: Bench) -> None:
        self.asked = bench.record(String, 'ask', qos.PROMPT)
        self._topics = {topic: bench.publisher(String, topic, qos.EVENTS)
                        for topic in ('saying', 'text', 'caption')}
        until(lambda: all(topic.get_subscription_count() for topic in self._topics.values())
              and bench.found('ask'), what='the cockpit')

    def say(self, topic: str, words: str) -> None:
        self._topics[topic].publish(String(data=words))


async def hear(socket: Any, kind: str, wanted: Any) -> dict[str, Any]:
    """Return the first message of a kind that is wanted."""
    async def find() -> dict[str, Any]:
        async for message in socket:
            if message.type == aiohttp.WSMsgType.TEXT:
                found = json.loads(message.data)
                if found['type'] == kind and wanted(found):
                    return found
        raise AssertionError('the page was closed')
    return await asyncio.wait_for(find(), 60)


def test_an_answer_grows_in_its_line_and_is_bounded(bench: Bench, cockpit: Cockpit,
                                                    node: TeleopNode) -> None:
    answers = Answers(bench)
    where, headers = socket_at(cockpit.address)

    async def talk() -> None:
        async with aiohttp.ClientSession() as session, session.ws_connect(
                where, headers=headers) as page:
            await page.send_json({'type': 'question', 'words': 'what is red?'})
            asked = await hear(page, 'talk', lambda m: m.get('lines'))
            assert [(one['who'], one['words']) for one in asked['lines']] == [
                ('person', 'what is red?')]
            answers.say('saying', 'a')
            begun = (await hear(page, 'talk', lambda m: m.get('lines')))['lines']
            answers.say('text', 'a block' * LONGEST)
            whole = (await hear(page, 'talk', lambda m: len(m['lines'][0]['words']) > 1))['lines']
            assert [one['number'] for one in begun] == [one['number'] for one in whole]
            assert whole[0]['who'] == 'policy' and len(whole[0]['words']) == LONGEST
            answers.say('caption', 'a red block')
            assert (await hear(page, 'talk', lambda m: 'caption' in m))['caption'] == 'a red block'
            for words, refusal in (('why ' * LONGEST, f'the question has {4 * LONGEST} characters'
                                    f', expected at most {LONGEST}'),
                                   (' ', 'the question is empty, expected words')):
                await page.send_json({'type': 'question', 'words': words})
                assert (await hear(page, 'answer', bool))['words'] == refusal
            for number in range(LINES):
                answers.say('text', f'sentence {number}')
                if number % 5 == 4:  # as many as wait in the middleware
                    await hear(page, 'talk', lambda m, last=f'sentence {number}': any(
                        one['words'] == last for one in m.get('lines', ())))
        async with aiohttp.ClientSession() as session, session.ws_connect(
                where, headers=headers) as late:
            said = (await hear(late, 'talk', bool))['lines']
            assert [one['words'] for one in said] == [f'sentence {n}' for n in range(LINES)]
    asyncio.run(talk())
    assert [msg.data for _, msg in answers.asked] == ['what is red?']


def test_without_a_policy_a_question_is_refused(cockpit: Cockpit) -> None:
    where, headers = socket_at(cockpit.address)

    async def talk() -> str:
        async with aiohttp.ClientSession() as session, session.ws_connect(
                where, headers=headers) as page:
            await page.send_json({'type': 'question', 'words': 'who are you?'})
            return (await hear(page, 'answer', bool))['words']
    assert asyncio.run(talk()) == 'nobody answers questions: the policy node does not run'


@chromium
@pytest.mark.slow
def test_a_question_in_the_page_and_an_answer_that_is_no_html(
        bench: Bench, cockpit: Cockpit, node: TeleopNode, tmp_path: Path) -> None:
    answers = Answers(bench)
    browser = Browser(tmp_path / 'browser')
    try:
        page = browser.open(cockpit.address)
        until(lambda: page.text('holder') == 'Nobody has control.', what='the page')
        page.value('document.getElementById("question").value = "what is <b>red</b>?"')
        page.press('#asking button')
        until(lambda: [msg.data for _, msg in answers.asked] == ['what is <b>red</b>?'],
              what='the question')
        answers.say('saying', 'the <i>')
        until(lambda: page.text('talk') == 'what is <b>red</b>?the <i>', what='the first piece')
        answers.say('text', 'the <i>block</i>')
        until(lambda: page.text('talk') == 'what is <b>red</b>?the <i>block</i>', what='the end')
        answers.say('caption', 'a <u>block</u>')
        until(lambda: page.text('caption') == 'Seen: a <u>block</u>', what='the caption')
        assert not page.value('document.querySelectorAll("#talk b, #talk i, #caption u").length')
        assert page.value('document.getElementById("question").value') == ''
        assert page.value('location.search').startswith('?token=')
    finally:
        browser.close()
