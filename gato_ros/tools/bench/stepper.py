"""One policy taking step after step, and its times as percentiles."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

from gato_ros.model.architecture import load_architecture
from gato_ros.model.gato import Gato, count_parameters
from gato_ros.policy.checkpoint import Checkpoint, CheckpointConfig, DomainConfig
from gato_ros.policy.memory import available_memory
from gato_ros.policy.policy import GatoPolicy
from gato_ros.robot import RobotSpec
from gato_ros.spec import Observation, TimestepSpec
from gato_ros.tokens.context import CAPACITY
from gato_ros.tools.bench.settings import BenchError


@runtime_checkable
class Counting(Protocol):
    """An engine that knows what it reads.

    bytes_per_token  of weights, for one token
    cache_bytes      of each number among its keys, values and distances
    """

    bytes_per_token: int
    cache_bytes: int


class Body(Protocol):
    """What a policy may be at work in: a robot, or a domain's task."""

    def timestep(self) -> TimestepSpec:
        """Return the fields that tokens are made from."""

    def example_observation(self, seed: int = 0) -> Observation:
        """Return a random valid observation."""


def percentiles(times: Sequence[float]) -> dict[str, float]:
    """Return n, p50, p90, p99, p99.9 and the largest."""
    marks = {f'p{mark:g}': round(float(np.percentile(times, mark)), 4)
             for mark in (50, 90, 99, 99.9)}
    return {'n': len(times), **marks, 'max': round(float(np.max(times)), 4)}


class Stepper:
    """A policy that answers one example observation after the other, in a window of any size."""

    def __init__(self, checkpoint: Checkpoint, body: Body, engine: str = 'auto',
                 observations: Sequence[Observation] = ()) -> None:
        self.policy = GatoPolicy(checkpoint, body.timestep(), engine=engine)
        self._examples = observations or [body.example_observation(seed) for seed in range(16)]
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


def decode_rates(policy: GatoPolicy, decode_ms: float) -> dict[str, Any]:
    """Return tokens/s, and bytes/s of weights, keys and values that decoding reads."""
    arch, count = policy.checkpoint.config.architecture, len(policy.tokenizer.layout().kind)
    actions = policy.tokenizer.layout().actions
    engine = policy.engine
    figures = {'tokens_per_s': round(actions / decode_ms * 1e3, 1),
               'ms_per_token': round(decode_ms / actions, 4), 'tokens_per_step': count}
    if not isinstance(engine, Counting):
        return figures
    width = 4 if 'float32' in engine.name else 2  # of the head
    inner = arch.heads * arch.key_size
    past = (2 * policy.window.tokens + min(policy.window.tokens, arch.max_distance))
    past *= arch.layers * inner * engine.cache_bytes
    head = sum(place.high - place.low for place in policy._places) * arch.width * width
    read = (actions - 1) * (engine.bytes_per_token + past) + head
    return {**figures, 'weights_MB_per_token': round(engine.bytes_per_token / 1e6, 2),
            'keys_values_distances_MB_per_token': round(past / 1e6, 2),
            'read_GB_per_s': round(read / decode_ms / 1e6, 2)}
