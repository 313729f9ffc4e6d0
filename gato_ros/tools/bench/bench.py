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
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gato_ros.model.architecture import PRESETS, load_architecture
from gato_ros.model.gato import Gato, count_parameters
from gato_ros.policy.checkpoint import (
    SHIPPED,
    Checkpoint,
    CheckpointConfig,
    DomainConfig,
    load_checkpoint,
)
from gato_ros.policy.engine import EngineError
from gato_ros.policy.memory import available_memory
from gato_ros.policy.policy import GatoPolicy
from gato_ros.robot import RobotSpec, load_robot
from gato_ros.spec import Observation
from gato_ros.tokens.context import CAPACITY
from gato_ros.tools.graph.demo import DemoError

SCHEDULINGS = ('real_time', 'ordinary')
PARTS = ('stages', 'versus', 'growth', 'long', 'agreement', 'graph')


class BenchError(RuntimeError):
    """A measurement that cannot be made; one sentence."""


@dataclass(frozen=True)
class BenchSettings:
    """What to measure.

    steps    of each in-process measurement; rivals that take seconds get fewer
    models   presets for the comparison beside the checkpoint
    minutes  of the graph; long_steps of the run that shows whether cost grows
    episodes folder of recorded episodes for the agreement; None: they are recorded first
    scheduling  of the graph's nodes, their parameter
    device   cpu, cuda, or auto: CUDA where there is a device
    """

    out: Path = Path('out/bench')
    checkpoint: Path = SHIPPED
    parts: tuple[str, ...] = PARTS
    models: tuple[str, ...] = ('79m',)
    steps: int = 200
    long_steps: int = 20_000
    minutes: float = 1.0
    threads: int = 1
    episodes: Path | None = None
    robot: str = 'panda_sim'
    device: str = 'auto'
    scheduling: str = 'real_time'

    def __post_init__(self) -> None:
        for name, given, known in (('part', self.parts, PARTS), ('model', self.models, PRESETS),
                                   ('scheduling', (self.scheduling,), SCHEDULINGS)):
            unknown = next((one for one in given if one not in known), None)
            if unknown is not None:
                raise BenchError(f'{name} {unknown!r} is not known; choose from '
                                 f'{", ".join(known)}')
        found = torch.cuda.is_available()
        if self.device == 'auto':
            object.__setattr__(self, 'device', 'cuda' if found else 'cpu')
        if self.device not in ('cpu', 'cuda') or (self.device == 'cuda' and not found):
            raise BenchError(f'device is {self.device!r}, expected auto or one that torch finds '
                             f'here: cpu{", cuda" if found else ""}')

    def load(self) -> Checkpoint:
        """Return the checkpoint on the device."""
        return load_checkpoint(self.checkpoint, self.device)


def run_bench(settings: BenchSettings) -> dict[str, Any]:
    """Measure every part, write bench.json and bench.png, return what bench.json holds."""
    from gato_ros.tools.bench import graph as bench_graph
    from gato_ros.tools.bench import plot as bench_plot
    from gato_ros.tools.bench import versus as bench_versus

    torch.set_num_threads(settings.threads)
    settings.out.mkdir(parents=True, exist_ok=True)
    measure: dict[str, Callable[[BenchSettings], dict[str, Any]]] = {
        'stages': stages, 'versus': bench_versus.versus, 'growth': growth, 'long': long_run,
        'agreement': bench_versus.agreement, 'graph': bench_graph.graph}
    report: dict[str, Any] = {'machine': machine(settings)}
    for part in settings.parts:
        print(f'measuring: {part}', flush=True)  # all parts together take half an hour
        try:
            report[part] = measure[part](settings)
        except ModuleNotFoundError as error:
            report[part] = {'left_out': f'{error.name} is not installed'}
        except (BenchError, DemoError) as error:
            report[part] = {'left_out': str(error)}
        (settings.out / 'bench.json').write_text(json.dumps(report, indent=1) + '\n',
                                                 encoding='utf-8')
    bench_plot.show(report)
    bench_plot.draw(report, settings.out / 'bench.png')
    return report


def machine(settings: BenchSettings) -> dict[str, Any]:
    """Return what the figures depend on."""
    from gato_ros.policy import cpu, cuda
    bandwidth: float | None = None
    with contextlib.suppress(EngineError):
        bandwidth = round((cpu.read_bandwidth(settings.threads) if settings.device == 'cpu' else
                           cuda.read_bandwidth(settings.device)) / 1e9, 2)
    lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
    name = next((line.split(': ')[1] for line in lines if line.startswith('model name')), '')
    return {'processor': name or platform.machine(), 'cores': os.cpu_count(),
            'device': 'cpu' if settings.device == 'cpu' else torch.cuda.get_device_name(),
            'threads': settings.threads, 'load_before': os.getloadavg()[0],
            'read_GB_per_s': bandwidth, 'torch': torch.__version__,
            'python': platform.python_version()}


def percentiles(times: Sequence[float]) -> dict[str, float]:
    """Return n, p50, p90, p99, p99.9 and the largest."""
    marks = {f'p{mark:g}': round(float(np.percentile(times, mark)), 4)
             for mark in (50, 90, 99, 99.9)}
    return {'n': len(times), **marks, 'max': round(float(np.max(times)), 4)}


class Stepper:
    """A policy that answers one example observation after the other, in a window of any size."""

    def __init__(self, checkpoint: Checkpoint, robot: RobotSpec, engine: str = 'auto',
                 observations: Sequence[Observation] = ()) -> None:
        self.policy = GatoPolicy(checkpoint, robot.timestep(), engine=engine)
        self._examples = observations or [robot.example_observation(seed) for seed in range(16)]
        self._count = 0

    def fill(self) -> None:
        """Answer until the window is as full as it gets, and warm."""
        window, tokens = self.policy.window, -1
        while window.tokens > tokens:
            tokens = window.tokens
            self.step()
        for _ in range(2):
            self.step()

    def step(self) -> dict[str, float]:
        """Answer one observation; return ms by stage, and `cpu`, of this thread."""
        observation = self._examples[self._count % len(self._examples)]
        self._count += 1
        start = time.thread_time()
        action = self.policy.act(observation)
        return {**action.timing_ms, 'decode per token': action.timing_ms['decode'] / len(
            action.tokens), 'cpu': (time.thread_time() - start) * 1e3}


def with_window(checkpoint: Checkpoint, tokens: int = CAPACITY,
                timesteps: int | None = None) -> Checkpoint:
    """Return the checkpoint with another window."""
    domains = {name: replace(domain, window_tokens=tokens, window_timesteps=timesteps)
               for name, domain in checkpoint.config.domains.items()}
    config = replace(checkpoint.config, domains=domains)
    return Checkpoint(config, checkpoint.model, checkpoint.folder)


def random_checkpoint(preset: str, robot: RobotSpec, device: str = 'cpu') -> Checkpoint:
    """Return a checkpoint of random weights, as bfloat16 would hold them; its answers are noise.

    Raises BenchError when memory does not suffice.
    """
    arch = load_architecture(preset)
    with torch.device('meta'):
        model = Gato(arch)
    needed = 7 * count_parameters(model)  # float32, and the engine's copy with room to make it
    free = available_memory() if device == 'cpu' else torch.cuda.mem_get_info(device)[0]
    if needed > free:
        raise BenchError(f'{preset} needs {needed / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are '
                         f'free on {device}')
    model = model.to_empty(device=device).eval().requires_grad_(False)
    generator = torch.Generator(device).manual_seed(0)
    for parameter in model.parameters():
        mean = 1.0 if parameter.dim() == 1 else 0.0
        parameter.normal_(mean, 0.02, generator=generator)
        parameter.copy_(parameter.bfloat16())
    config = CheckpointConfig(arch, {robot.name: DomainConfig(robot.timestep())})
    return Checkpoint(config, model, Path())


def sample(step: Callable[[], dict[str, float]], count: int) -> dict[str, dict[str, float]]:
    """Take ``count`` steps; return the percentiles of each stage."""
    rows = [step() for _ in range(count)]
    return {stage: percentiles([row[stage] for row in rows]) for stage in rows[0]}


def stages(settings: BenchSettings) -> dict[str, Any]:
    """The checkpoint as it ships: each stage's percentiles, tokens/s and bytes/s."""
    robot = load_robot(settings.robot)
    stepper = Stepper(settings.load(), robot)
    stepper.fill()
    times = sample(stepper.step, 5 * settings.steps)
    messages = _messages(robot, settings.steps)
    return {'engine': stepper.policy.engine.name, **decode_rates(
                stepper.policy, times['decode']['p50']),
            'ms': {**messages, **times}}


def decode_rates(policy: GatoPolicy, decode_ms: float) -> dict[str, Any]:
    """Return tokens/s, and bytes/s of weights, keys and values that decoding reads."""
    arch, count = policy.checkpoint.config.architecture, len(policy.tokenizer.layout().kind)
    actions = policy.tokenizer.layout().actions
    bytes_per_token = getattr(policy.engine, 'bytes_per_token', None)
    figures = {'tokens_per_s': round(actions / decode_ms * 1e3, 1),
               'ms_per_token': round(decode_ms / actions, 4), 'tokens_per_step': count}
    if bytes_per_token is None:
        return figures
    width = 2 if 'bfloat16' in policy.engine.name else 4
    inner = arch.heads * arch.key_size
    past = (2 * policy.window.tokens + min(policy.window.tokens, arch.max_distance))
    past *= arch.layers * inner * getattr(policy.engine, 'cache_bytes', 4)
    head = sum(place.high - place.low for place in policy._places) * arch.width * width
    read = (actions - 1) * (bytes_per_token + past) + head
    return {**figures, 'weights_MB_per_token': round(bytes_per_token / 1e6, 2),
            'keys_values_distances_MB_per_token': round(past / 1e6, 2),
            'read_GB_per_s': round(read / decode_ms / 1e6, 2)}


def _messages(robot: RobotSpec, count: int) -> dict[str, Any]:
    """Return what converting an observation's messages and publishing a proposal take."""
    try:
        from gato_ros.tools.bench.graph import message_times
    except ModuleNotFoundError:
        return {}
    return {name: percentiles(times) for name, times in message_times(robot, count).items()}


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
    robot = load_robot(settings.robot)
    stepper = Stepper(with_window(settings.load()), robot)
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
