"""The cockpit: a page from which a person watches, jogs, records and commands. No build step.

    cockpit = Cockpit(node, '127.0.0.1', 8400)
    cockpit.address          # http://127.0.0.1:8400/
    cockpit.close()

Every page is a source of its own for the node's Control. The page repeats a held button 25 times a
second; when it stops (tab closed, network cut, window hidden) the button counts as let go. While
somebody has control the others may look and press Stop, and nothing else.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import itertools
import secrets
import struct
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from importlib import resources
from typing import Any

import numpy as np
from aiohttp import WSCloseCode, WSMsgType, web

from gato_ros.config import ConfigError
from gato_ros.jog import Wish
from gato_ros.nodes.teleoperation.cockpit_view import SERVICES, View
from gato_ros.nodes.teleoperation.host import Host
from gato_ros.nodes.teleoperation.talk import Talk
from gato_ros.untrusted import brief, parse_json, plain

HEADERS = {'Content-Security-Policy': "default-src 'self'; img-src 'self' blob:; "
                                      "frame-ancestors 'none'",
           'Referrer-Policy': 'no-referrer', 'X-Content-Type-Options': 'nosniff',
           'Cache-Control': 'no-store'}
FILES = {'/': ('index.html', 'text/html'), '/cockpit.js': ('cockpit.js', 'text/javascript'),
         '/talk.js': ('talk.js', 'text/javascript'), '/cockpit.css': ('cockpit.css', 'text/css')}
LARGEST = 4096  # bytes of a message from a page
PAGES, WAITING = 16, 4  # pages at a time; requests of one that wait for an answer
RATE_HZ, BURST = 500.0, 500  # messages of a page: wishes come at 25 Hz, and one for a picture
STATE_S, PICTURE_S = 0.1, 0.01
LOOK_S = 2.0  # for a look into the folder
LIST_EVERY = 10  # so many times STATE_S pass between two looks into the folder


class Cockpit:
    """Serves from a thread with a loop of its own.

    token  what an address must carry; '' makes one, on this machine too: it has other users

    Raises ConfigError when the address cannot be served.
    """

    def __init__(self, node: Host, host: str = '127.0.0.1', port: int = 8400,
                 token: str = '') -> None:
        self._node, self._view, self._talk = node, View(node), Talk(node)
        self._host, self._local = host, is_loopback(host)
        self._token = token or secrets.token_urlsafe(16)
        self._numbers = itertools.count(1)
        self._ages_ms: list[float] = []
        self._look: asyncio.Future[dict[str, list[str]]] | None = None
        self._listed: dict[str, list[str]] = {}
        self._sockets: set[web.WebSocketResponse] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name='cockpit')
        self._thread.start()
        try:
            self.port = asyncio.run_coroutine_threadsafe(
                self._serve(host, port), self._loop).result(timeout=10.0)
        except OSError as error:
            self.close()
            raise ConfigError(
                f'http://{host}:{port} cannot be served: {error.strerror}') from error

    @property
    def address(self) -> str:
        """Where the page is, with the token."""
        host = f'[{self._host}]' if ':' in self._host else self._host
        return f'http://{host}:{self.port}/?token={self._token}'

    def close(self) -> None:
        """Let go of everything that pages hold, and end."""
        with suppress(Exception):
            asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(timeout=2.0)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=1.0)

    async def _serve(self, host: str, port: int) -> int:
        app = web.Application()
        for path in FILES:
            app.router.add_get(path, self._file)
        app.router.add_get('/socket', self._socket)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        return self._runner.addresses[0][1]

    async def _end(self) -> None:
        for socket in list(self._sockets):
            await socket.close()
        await self._runner.cleanup()

    # Who may come in.

    def _check(self, request: web.Request) -> None:
        """Refuse strangers: another machine's name, another site's page, a wrong token."""
        name = request.host.rpartition(':')[0] or request.host
        if self._local and not is_loopback(name.strip('[]')):
            raise web.HTTPForbidden(text=f'the host is {request.host}, expected this machine\n')
        origin = request.headers.get('Origin')
        if origin is not None and origin.partition('://')[2] != request.host:
            raise web.HTTPForbidden(text=f'the page is from {origin}, expected {request.host}\n')
        given = request.query.get('token', '').encode()
        if not hmac.compare_digest(given, self._token.encode()):
            raise web.HTTPForbidden(text='the token is wrong or missing, expected the address as '
                                         'it was printed\n')

    async def _file(self, request: web.Request) -> web.Response:
        name, kind = FILES[request.path]
        if request.path == '/':
            self._check(request)
        text = (resources.files('gato_ros') / 'assets' / 'cockpit' / name).read_text('utf-8')
        return web.Response(text=text, content_type=kind, headers=HEADERS)

    # A page.

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        self._check(request)
        if 'Origin' not in request.headers:
            raise web.HTTPForbidden(text='no Origin, expected a page of this server\n')
        if len(self._sockets) >= PAGES:
            raise web.HTTPServiceUnavailable(text=f'{PAGES} pages are open, expected fewer: close '
                                                  'one\n')
        socket = web.WebSocketResponse(max_msg_size=LARGEST, heartbeat=5.0)
        self._sockets.add(socket)
        page, budget = f'page {next(self._numbers)}', Budget(RATE_HZ, BURST)
        tasks: set[asyncio.Task[None]] = set()
        try:
            with suppress(ConnectionError):  # it may leave before its answer
                await socket.prepare(request)
                tasks |= {asyncio.create_task(self._quietly(send, socket, page))
                          for send in (self._send_state, self._send_talk, self._send_pictures)}
                async for message in socket:
                    if not budget.spend():
                        await socket.close(code=WSCloseCode.POLICY_VIOLATION,
                                           message=b'too many messages')
                    elif message.type == WSMsgType.TEXT:
                        await self._hear(socket, page, message.data, tasks)
        finally:
            self._node.control.release(page)
            self._sockets.discard(socket)
            for task in tasks:
                task.cancel()
        return socket

    async def _quietly(self, send: Callable[[web.WebSocketResponse, str], Awaitable[None]],
                       socket: web.WebSocketResponse, page: str) -> None:
        with suppress(ConnectionError):
            await send(socket, page)

    async def _send_state(self, socket: web.WebSocketResponse, page: str) -> None:
        robot, view, since = self._node.robot, self._view, 0
        await socket.send_json({
            'type': 'hello', 'page': page, 'robot': robot.name, 'joints': robot.joint_names,
            'scale': robot.scale.tolist(), 'cameras': view.cameras(), 'rate_hz': robot.rate_hz,
            'limits': [joint.position for joint in robot.joints]})
        offered: dict[str, list[str]] = {}
        for turn in itertools.count():
            if turn % LIST_EVERY == 0 and (prompts := await self._shelf()) != offered:
                offered = prompts
                await socket.send_json({'type': 'prompts', **prompts})
            state = view.state(since)
            since = max([since, *(word['number'] for word in state['words'])])
            ages = np.percentile(self._ages_ms, [50, 95]).round(1).tolist() if (
                self._ages_ms) else []
            await socket.send_json({'type': 'state', **state, 'image_age_ms': ages})
            await asyncio.sleep(STATE_S)

    async def _send_talk(self, socket: web.WebSocketResponse, page: str) -> None:
        """Send what was asked and said since the last time."""
        since = 0
        while True:
            since, found = self._talk.since(since)
            if found:
                await socket.send_json({'type': 'talk', **found})
            await asyncio.sleep(STATE_S)

    async def _shelf(self) -> dict[str, list[str]]:
        """Look into the folder, beside this loop; the former list while that takes too long."""
        if self._look is None or self._look.done():
            self._look = self._loop.run_in_executor(None, self._view.prompts)
        with suppress(asyncio.TimeoutError):
            self._listed = await asyncio.wait_for(asyncio.shield(self._look), LOOK_S)
        return self._listed

    async def _send_pictures(self, socket: web.WebSocketResponse, page: str) -> None:
        """Send new pictures; a slow page gets fewer, never old ones."""
        sent: dict[str, Any] = {}
        while True:
            for number, camera in enumerate(self._view.cameras()):
                letter, data = self._view.picture(camera)
                if letter is not None and letter is not sent.get(camera):
                    sent[camera] = letter
                    await socket.send_bytes(struct.pack('<Bd', number, letter.arrived_s) + data)
            await asyncio.sleep(PICTURE_S)

    async def _hear(self, socket: web.WebSocketResponse, page: str, text: str,
                    tasks: set[asyncio.Task[None]]) -> None:
        """Do what a page asks for; what makes no sense is told to it in a sentence."""
        try:
            message = parse_json(text, LARGEST)
            kind = message.pop('type')
            if kind == 'ask':
                answer = self._ask(socket, page, message, tasks)
            else:
                answer = self._do(page, kind, message)
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
            answer = f'the page said {brief(text)}, which cannot be done ({plain(str(error))})'
            self._node.control.release(page)
        if answer:
            await socket.send_json({'type': 'answer', 'words': answer})

    def _others(self, page: str) -> str:
        """Return who else has control, in a sentence, or ''."""
        holder = self._node.control.holder
        return '' if holder in ('', page) else (
            f'{holder} has control, expected nobody: it must be given back first')

    def _ask(self, socket: web.WebSocketResponse, page: str, message: dict[str, Any],
             tasks: set[asyncio.Task[None]]) -> str:
        """Call a service, beside what the page says meanwhile; everybody may stop."""
        what, yes = str(message['what']), bool(message.get('yes', True))
        if what not in SERVICES:
            raise ValueError(f'unknown: {plain(what, 80)}')
        if what == 'stop':
            self._node.policy_on = False
            self._node.control.release(self._node.control.holder)
        elif refusal := self._others(page):
            return refusal
        elif sum(task.get_name() == 'ask' for task in tasks) >= WAITING:
            return f'{WAITING} requests wait for their answers already'

        async def ask(socket: web.WebSocketResponse, page: str) -> None:
            words = await self._view.ask(what, yes)
            await socket.send_json({'type': 'answer', 'words': words})

        task = asyncio.create_task(self._quietly(ask, socket, page),
                                   name='stop' if what == 'stop' else 'ask')
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return ''

    def _do(self, page: str, kind: str, message: dict[str, Any]) -> str:
        control = self._node.control
        if kind == 'wish':
            wish = message['wish']
            return control.put(page, None if wish is None else to_wish(wish))
        if kind == 'drawn':  # the picture of that time is on the screen now
            age_ms = (time.monotonic() - float(message['arrived_s'])) * 1e3
            if 0.0 <= age_ms < 60_000.0:  # an older one was there before the page was
                self._ages_ms.append(age_ms)
                del self._ages_ms[:-500]
        elif kind == 'release':
            control.release(page)
        elif kind not in ('policy', 'prompt', 'question', 'remark'):
            raise ValueError(f'unknown: {plain(str(kind), 80)}')
        elif refusal := self._others(page):
            return refusal
        elif kind == 'policy':
            self._node.policy_on = bool(message['on'])
        elif kind == 'prompt':
            self._view.say(str(message['words'])[:500])
        elif kind == 'question':
            return self._talk.ask(str(message['words']))
        else:
            return self._view.remark(str(message['words'])[:500])
        return ''


class Budget:
    """So many messages a second, and as many at once as ``burst``."""

    def __init__(self, rate_hz: float, burst: int) -> None:
        self._rate_hz, self._burst = rate_hz, float(burst)
        self._left, self._last_s = self._burst, time.monotonic()

    def spend(self) -> bool:
        """Whether one more message is within the budget."""
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._last_s) * self._rate_hz) - 1.0
        self._last_s = now
        return self._left >= 0.0


def to_wish(given: dict[str, Any]) -> Wish:
    """Return a page's wish; ValueError or TypeError for one that makes no sense."""
    return Wish(linear=tuple(map(float, given.get('linear', (0, 0, 0)))),
                angular=tuple(map(float, given.get('angular', (0, 0, 0)))),
                joints=tuple(map(float, given.get('joints', ()))),
                gripper=float(given.get('gripper', 0)), home=bool(given.get('home', False)),
                speed=float(given.get('speed', 0.5)))


def is_loopback(host: str) -> bool:
    """Whether a host is this machine and nobody else."""
    if host == 'localhost':
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
