"""How old a picture in the cockpit is, how soon a key is torque, and how soon letting go is rest.

    python benchmarks/cockpit.py --json out/cockpit.json

Simulator, safety node and teleop node are processes of their own over real DDS; the page is in a
real Chromium without a screen, and a relay between them can be cut like a network.

picture  a picture is published whose colour is its number -> the frame after the one in which the
         page's canvas has that colour
key      a key event is given to the browser -> torque on the controller's command topic
rest     the key is released, the tab closed, the relay cut -> commands without torque for good

Status 1 when a bar is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from gato_ros.tools.graph.children import free_domain

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / 'test' / 'ros'))
BARS_MS = {'picture': 150.0, 'key': 50.0, 'rest': 100.0}
SMALLEST_NM, REST_S = 0.1, 0.5
WATCH = """(() => { window.seen = []; let last = -1, waiting = [];
  const look = () => { const now = performance.timeOrigin + performance.now();
    for (const number of waiting) window.seen.push([number, now]);
    waiting = [];
    const canvas = document.getElementById('camera-front');
    if (canvas) { const [r, g] = canvas.getContext('2d').getImageData(8, 8, 1, 1).data;
      const number = Math.round(r / 16) * 16 + Math.round(g / 16);
      if (number !== last) { last = number; waiting.push(number); } }
    requestAnimationFrame(look); };
  look(); })()"""


class Relay(threading.Thread):
    """Passes bytes between a page and its server until it is cut; connections stay open then."""

    def __init__(self, target: int) -> None:
        super().__init__(daemon=True)
        self._target, self._open = target, True
        self._loop = asyncio.new_event_loop()
        self.start()
        self.port = asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result(5.0)

    def run(self) -> None:
        self._loop.run_forever()

    def cut(self) -> None:
        """Pass nothing on any more."""
        self._open = False

    def close(self) -> None:
        """End all connections."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(5.0)
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _end(self) -> None:
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self) -> int:
        self._server = await asyncio.start_server(self._meet, '127.0.0.1', 0)
        return self._server.sockets[0].getsockname()[1]

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection('127.0.0.1', self._target)
        with suppress(asyncio.CancelledError, ConnectionError):
            await asyncio.gather(self._pass(reader, back), self._pass(there, writer))
        for sink in (writer, back):
            sink.close()

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            if self._open:
                sink.write(data)
                await sink.drain()


class Commands:
    """The arm's torque commands, with the steady time of their arrival."""

    def __init__(self, bench: Any, topic: str) -> None:
        from std_msgs.msg import Float64MultiArray

        from gato_ros.nodes.common import qos
        self._rows: list[tuple[float, Any]] = bench.record(Float64MultiArray, topic, qos.COMMAND)

    def push(self, began: float) -> float:
        """Return ms from ``began`` until the first command with torque; NaN: none came."""
        while time.monotonic() < began + 5.0:
            for when, torque in self._since(began):
                if torque > SMALLEST_NM:
                    return 1e3 * (when - began)
            time.sleep(0.001)
        return float('nan')

    def rest(self, began: float) -> float:
        """Return ms from ``began`` until the first command after the last one with torque."""
        time.sleep(REST_S)
        rows = self._since(began)
        last = max((i for i, (_, torque) in enumerate(rows) if torque > 0), default=-1)
        return 1e3 * (rows[last + 1][0] - began) if last + 1 < len(rows) else float('nan')

    def _since(self, began: float) -> list[tuple[float, float]]:
        return [(when, float(np.abs(msg.data).max())) for when, msg in self._rows[-500:]
                if when > began]


def keys(page: Any, commands: Commands, trials: int) -> dict[str, list[float]]:
    """Press and release a direction's key while the space bar is held, and then the space bar."""
    from ros_bench import until
    found: dict[str, list[float]] = {'key': [], 'rest: key': []}
    for trial in range(trials):
        page.key(' ', True)
        until(lambda: page.text('holder') == 'You have control.', what='control')
        began = time.monotonic()
        page.key('ws'[trial % 2], True)
        found['key'].append(commands.push(began))
        time.sleep(random.uniform(0.05, 0.2))
        began = time.monotonic()
        page.key(' ', False)
        found['rest: key'].append(commands.rest(began))
        page.key('ws'[trial % 2], False)
        time.sleep(random.uniform(0.05, 0.15))
    return found


def ends(browser: Any, address: str, commands: Commands, how: str, trials: int) -> list[float]:
    """Close the tab, or cut the network, while the arm is pushed."""
    from ros_bench import until
    found = []
    for trial in range(trials):
        port = urlsplit(address).port
        relay = Relay(port)
        page = browser.open(address.replace(f':{port}/', f':{relay.port}/'))
        until(lambda page=page: page.text('holder') == 'Nobody has control.', what='the page')
        page.key(' ', True)
        page.key('ws'[trial % 2], True)
        commands.push(time.monotonic())
        time.sleep(random.uniform(0.05, 0.2))
        began = time.monotonic()
        if how == 'network':
            relay.cut()
        else:
            browser.shut(page.tab)
        found.append(commands.rest(began))
        if how == 'network':
            browser.shut(page.tab)
        relay.close()
        time.sleep(0.1)
    return found


def pictures(bench: Any, page: Any, seconds: float) -> list[float]:
    """Publish coloured pictures at 20 Hz as a robot's camera and see when they are shown."""
    from sensor_msgs.msg import Image

    from gato_ros.nodes.common import convert, qos
    publisher = bench.publisher(Image, 'camera/front/image_raw', qos.SENSORS)
    page.value(WATCH)
    sent: dict[int, float] = {}
    found: list[float] = []
    began, count = time.monotonic(), int(20 * seconds)
    for number in range(count):
        time.sleep(max(0.0, began + number / 20 - time.monotonic()))
        colour = (number * 7 + 1) % 256  # neighbours differ much, so JPEG does not blur them
        image = np.zeros((64, 64, 3), np.uint8)
        image[:, :, 0], image[:, :, 1] = colour // 16 * 16, colour % 16 * 16
        msg = convert.from_image(image, 10**12 + number * 50_000_000, '')
        sent[colour] = time.time() * 1e3
        publisher.publish(msg)
        if number % 100 == 99 or number + 1 == count:  # before colours come again
            time.sleep(0.5)
            began += 0.5
            shown = json.loads(page.value('JSON.stringify(window.seen.splice(0))'))
            found += [when - sent[colour] for colour, when in shown if colour in sent]
            sent.clear()
    return found


def summary(rows: dict[str, list[float]]) -> dict[str, Any]:
    """Return n and quantiles in ms, beside the bar."""
    return {name: {'n': len(values), 'p50_ms': round(float(np.percentile(values, 50)), 1),
                   'p95_ms': round(float(np.percentile(values, 95)), 1),
                   'max_ms': round(float(np.max(values)), 1),
                   'bar_ms': BARS_MS[name.split(':')[0]]}
            for name, values in rows.items() if values}


def main() -> int:
    """Measure, print, and compare with the bars: the p95 of picture and key, every single rest."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--trials', type=int, default=100, help='of keys')
    parser.add_argument('--ends', type=int, default=50, help='of the tab, and of the network')
    parser.add_argument('--seconds', type=float, default=30.0, help='of pictures')
    parser.add_argument('--json', type=Path)
    args = parser.parse_args()
    os.environ.update(ROS_DOMAIN_ID=str(free_domain()),
                      ROS_AUTOMATIC_DISCOVERY_RANGE='LOCALHOST')
    import rclpy
    from browser import Browser
    from ros_bench import Bench, Processes, until

    from gato_ros.robot import load_robot
    topic = next(iter(load_robot('panda_sim').controllers.values()))
    rclpy.init()
    with tempfile.TemporaryDirectory() as name:
        bench, processes = Bench(), Processes(Path(name))
        browser = Browser(Path(name) / 'browser')
        try:
            commands = Commands(bench, topic)
            teleop = processes.node('teleop_node', web=True, port=0)

            def address() -> str:
                return until(lambda: next((line.split()[1] for line in teleop.log.read_text()
                                           .split('\n') if line.startswith('cockpit: ')), None))

            page = browser.open(address())
            rows = {'picture': pictures(bench, page, args.seconds)}
            processes.node('sim_node', on_request=True)
            processes.node('safety_node', simulation=True)
            until(lambda: 'enabled' in page.text('gate'), what='the gate')
            time.sleep(3.0)
            rows |= keys(page, commands, args.trials)
            browser.shut(page.tab)
            for how in ('tab', 'network'):
                rows[f'rest: {how}'] = ends(browser, address(), commands, how, args.ends)
        finally:
            browser.close()
            processes.close()
            bench.close()
    found = summary(rows)
    for name, row in found.items():
        print(name, json.dumps(row))
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps({'summary': found, 'ms': rows}, indent=1) + '\n')
    return int(any(not (row['max_ms'] if name.startswith('rest') else row['p95_ms'])
                   < row['bar_ms'] for name, row in found.items()))


if __name__ == '__main__':
    sys.exit(main())
