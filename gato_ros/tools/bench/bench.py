"""How long a control step takes here, beside the other ways to take it.

    gato-ros bench                      # all parts, the graph for one minute
    gato-ros bench --part graph --minutes 10

Every part yields a dictionary for bench.json; times are in ms unless a name says otherwise. Beside
wall times stand processor times of the computing thread, which other processes disturb less.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from gato_ros.policy import cpu, device
from gato_ros.policy.engine import EngineError
from gato_ros.tools.bench import plot
from gato_ros.tools.bench.growth import growth, long_run
from gato_ros.tools.bench.settings import BenchError, BenchSettings
from gato_ros.tools.bench.stages import stages
from gato_ros.tools.bench.versus import agreement, versus
from gato_ros.tools.graph.children import GraphError


def run_bench(settings: BenchSettings) -> dict[str, Any]:
    """Measure every part, write bench.json and bench.png, return what bench.json holds."""
    torch.set_num_threads(settings.threads)
    settings.out.mkdir(parents=True, exist_ok=True)
    measure: dict[str, Callable[[BenchSettings], dict[str, Any]]] = {
        'stages': stages, 'versus': versus, 'growth': growth, 'long': long_run,
        'agreement': agreement, 'graph': _graph}
    report: dict[str, Any] = {'machine': machine(settings)}
    for part in settings.parts:
        print(f'measuring: {part}', flush=True)  # all parts together take half an hour
        try:
            report[part] = measure[part](settings)
        except ModuleNotFoundError as error:
            report[part] = {'left_out': f'{error.name} is not installed'}
        except (BenchError, GraphError) as error:
            report[part] = {'left_out': str(error)}
        (settings.out / 'bench.json').write_text(json.dumps(report, indent=1) + '\n',
                                                 encoding='utf-8')
    plot.show(report)
    plot.draw(report, settings.out / 'bench.png')
    return report


def _graph(settings: BenchSettings) -> dict[str, Any]:
    """Import ROS when it is its turn: without it this part alone is left out."""
    from gato_ros.tools.bench.graph import graph
    return graph(settings)


def machine(settings: BenchSettings) -> dict[str, Any]:
    """Return what the figures depend on."""
    bandwidth: float | None = None
    with contextlib.suppress(EngineError):
        bandwidth = round((cpu.read_bandwidth(settings.threads) if settings.device == 'cpu' else
                           device.read_bandwidth(settings.device)) / 1e9, 2)
    lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
    name = next((line.split(': ')[1] for line in lines if line.startswith('model name')), '')
    return {'processor': name or platform.machine(), 'cores': os.cpu_count(),
            'device': 'cpu' if settings.device == 'cpu' else torch.cuda.get_device_name(),
            'threads': settings.threads, 'load_before': os.getloadavg()[0],
            'read_GB_per_s': bandwidth, 'torch': torch.__version__,
            'python': platform.python_version()}
