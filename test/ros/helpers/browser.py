"""A real Chromium without a screen, driven through its DevTools protocol."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import aiohttp
from ros_bench import until

CHROMIUM = next(filter(None, map(shutil.which, (
    'chromium', 'chromium-browser', 'google-chrome'))), None)


class Browser:
    """One browser; ``open`` gives a page."""

    def __init__(self, folder: Path) -> None:
        assert CHROMIUM is not None
        self._process = subprocess.Popen(
            [CHROMIUM, '--headless=new', '--no-sandbox', '--disable-gpu', '--no-first-run',
             '--disable-dev-shm-usage', '--disable-extensions', '--disable-background-networking',
             '--disable-component-update', '--disable-sync', '--disable-quic',
             f'--user-data-dir={folder}', '--remote-debugging-port=0', 'about:blank'],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        place = folder / 'DevToolsActivePort'
        self._port = until(lambda: place.is_file() and place.read_text().split('\n')[0],
                           what='the browser')
        self._session = self.wait(self._begin())

    async def _begin(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession()

    def wait(self, work: Any, timeout_s: float = 60.0) -> Any:
        """Run a coroutine in the browser's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)

    def open(self, address: str) -> Page:
        """Open an address in a tab of its own."""
        async def connect() -> tuple[Any, str]:
            url = f'http://127.0.0.1:{self._port}/json/new?{address}'
            async with self._session.put(url) as answer:
                tab = await answer.json()
            return await self._session.ws_connect(tab['webSocketDebuggerUrl'], max_msg_size=0,
                                                  headers={'Host': '127.0.0.1'}), tab['id']
        return Page(self, *self.wait(connect()))

    def shut(self, tab: str) -> None:
        """Close a tab."""
        async def close() -> None:
            async with self._session.get(f'http://127.0.0.1:{self._port}/json/close/{tab}'):
                pass
        self.wait(close())

    def close(self) -> None:
        self.wait(self._session.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._process.terminate()
        self._process.wait(timeout=20)


class Page:
    """One tab."""

    def __init__(self, browser: Browser, socket: Any, tab: str) -> None:
        self._browser, self._socket, self.tab = browser, socket, tab
        self._numbers, self._fingers = itertools.count(1), 0
        self.do('Page.bringToFront')
        self.do('Emulation.setFocusEmulationEnabled', enabled=True)  # no blur that nobody meant

    def do(self, method: str, **values: Any) -> dict[str, Any]:
        """Send one command of the protocol and return its result."""
        async def ask() -> dict[str, Any]:
            number = next(self._numbers)
            await self._socket.send_json({'id': number, 'method': method, 'params': values})
            while True:
                answer = await self._socket.receive_json()
                if answer.get('id') == number:
                    return answer['result']
        return self._browser.wait(ask())

    def value(self, script: str) -> Any:
        """Evaluate a script in the page."""
        return self.do('Runtime.evaluate', expression=script)['result'].get('value')

    def text(self, name: str) -> str:
        """Return what an element shows."""
        return self.value(f'document.getElementById("{name}")?.textContent ?? ""')

    def key(self, key: str, down: bool) -> None:
        """Press or release a key."""
        code = {' ': 'Space', 'Enter': 'Enter'}.get(key, f'Key{key.upper()}')
        more = {'text': '\r'} if key == 'Enter' and down else {}
        self.do('Input.dispatchKeyEvent', type='keyDown' if down else 'keyUp', key=key, code=code,
                windowsVirtualKeyCode=13 if key == 'Enter' else ord(key.upper()), **more)

    def strike(self, code: str, letter: str, down: bool, modifiers: int = 0) -> None:
        """Press or release the key at a place of the keyboard, which says ``letter`` by layout.

        modifiers  1 Alt, 2 Ctrl, 4 Meta, 8 Shift, added up
        """
        self.do('Input.dispatchKeyEvent', type='keyDown' if down else 'keyUp', key=letter,
                code=code, modifiers=modifiers)

    def touch(self, *selectors: str) -> None:
        """Have a finger on each of these elements, and nowhere else."""
        points = []
        if not self._fingers and selectors:
            self.value(f'document.querySelector({json.dumps(selectors[0])})'
                       '.scrollIntoView({ block: "center" })')  # the page's head covers its top
        for number, selector in enumerate(selectors):
            x, y = json.loads(self.value(
                f'(() => {{ const box = document.querySelector({json.dumps(selector)})'
                '.getBoundingClientRect(); return JSON.stringify([box.x + box.width / 2, '
                'box.y + box.height / 2]); })()'))
            points.append({'x': x, 'y': y, 'id': number})
        if len(points) > self._fingers:
            self.do('Input.dispatchTouchEvent', type='touchStart', touchPoints=points)
        else:
            self.do('Input.dispatchTouchEvent', type='touchEnd', touchPoints=points)
        self._fingers = len(points)

    def press(self, selector: str) -> None:
        """Press a button by keyboard: focus, then Enter."""
        self.value(f"document.querySelector('{selector}').focus()")
        self.key('Enter', True)
        self.key('Enter', False)
        self.value('document.activeElement.blur()')
