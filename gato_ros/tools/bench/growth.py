"""How the cost of a step grows: with the window, the model, the cameras, and with time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gato_ros.model.architecture import PRESETS
from gato_ros.model.gato import count_parameters
from gato_ros.policy.checkpoint import Checkpoint
from gato_ros.robot import load_robot
from gato_ros.tokens.context import CAPACITY
from gato_ros.tools.bench.settings import BenchError, BenchSettings
from gato_ros.tools.bench.stepper import (
    Stepper,
    decode_rates,
    percentiles,
    random_checkpoint,
    sample,
    with_window,
)


def growth(settings: BenchSettings) -> dict[str, Any]:
    """Cost against the window's fill, the model's size, the cameras and their resolution."""
    robot = load_robot(settings.robot)
    checkpoint = settings.load()
    stepper = Stepper(with_window(checkpoint), robot)
    fill: dict[str, list[float]] = {}
    rounds = max(3, settings.steps // 10)
    for _ in range(rounds):
        stepper.policy.reset()
        for _ in range(CAPACITY // len(stepper.policy.tokenizer.layout())):
            time_ms = stepper.step()
            fill.setdefault(str(stepper.policy.window.tokens), []).append(time_ms['cpu'])
    models: dict[str, Any] = {}
    for preset in PRESETS:
        try:
            stepper = Stepper(random_checkpoint(preset, robot, settings.device), robot)
        except BenchError as error:
            models[preset] = {'left_out': str(error)}
            continue
        stepper.fill()
        times = sample(stepper.step, max(3, rounds // 4))
        models[preset] = {'parameters': count_parameters(stepper.policy.checkpoint.model),
                          'engine': stepper.policy.engine.name, 'ms': times,
                          **decode_rates(stepper.policy, times['decode']['p50'])}
    cameras = {}
    for count, side in ((1, 64), (2, 64), (3, 64), (4, 64), (2, 96), (2, 128), (2, 224)):
        eyes = tuple(replace(robot.cameras[0], name=f'camera{i}', height=side, width=side)
                     for i in range(count))
        other = replace(robot, cameras=eyes)
        domain = replace(checkpoint.config.domain(robot.timestep()), timestep=other.timestep(),
                         window_tokens=CAPACITY)
        config = replace(checkpoint.config, domains={'cameras': domain})
        stepper = Stepper(Checkpoint(config, checkpoint.model, checkpoint.folder), other)
        stepper.fill()
        cameras[f'{count} x {side} x {side}'] = {
            'tokens': len(stepper.policy.tokenizer.layout()), 'ms': sample(stepper.step, rounds)}
    return {'cpu_ms_by_tokens_in_window': {k: percentiles(v) for k, v in fill.items()},
            'models': models, 'cameras': cameras}


def long_run(settings: BenchSettings) -> dict[str, Any]:
    """One episode of very many steps with a full window: is the last thousand like the first?"""
    stepper = Stepper(with_window(settings.load()), settings.body())
    stepper.fill()
    rows, memory = [], []
    for _ in range(settings.long_steps):
        rows.append(stepper.step())
        memory.append(_resident_mb())
    every = max(1, settings.long_steps // 100)
    share = min(1000, settings.long_steps // 4)

    totals = [row['total'] for row in rows]
    middles = [round(float(np.median(totals[i:i + every])), 4)
               for i in range(0, len(totals), every)]

    def ends(values: Sequence[float]) -> dict[str, float]:
        first, last = float(np.median(values[:share])), float(np.median(values[-share:]))
        return {'first': round(first, 4), 'last': round(last, 4),
                'change': round(last / first - 1, 4)}

    return {'steps': settings.long_steps, 'share': share,
            'total_ms': ends(totals), 'every': every, 'total_ms_over_time': middles,
            'cpu_ms': ends([row['cpu'] for row in rows]), 'resident_MB': ends(memory),
            'resident_MB_over_time': [round(mb, 1) for mb in memory[::every]]}


def _resident_mb() -> float:
    pages = int(Path('/proc/self/statm').read_text(encoding='ascii').split()[1])
    return pages * os.sysconf('SC_PAGE_SIZE') / 1e6
