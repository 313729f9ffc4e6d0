"""The engine beside other ways to compute a step, and its answers beside the reference's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from gato_ros.episodes.episode import list_episodes, read_slice, timestep
from gato_ros.model.gato import Gato
from gato_ros.model.layout import Part, sequence_layout
from gato_ros.policy.checkpoint import Checkpoint
from gato_ros.policy.engine import Engine, Place
from gato_ros.policy.policy import GatoPolicy
from gato_ros.robot import RobotSpec, load_robot
from gato_ros.spec import Observation
from gato_ros.tokens import vocab
from gato_ros.tokens.context import CAPACITY, ContextWindow
from gato_ros.tokens.sequence import TimestepTokenizer
from gato_ros.tools.bench.settings import BenchSettings
from gato_ros.tools.bench.stepper import (
    Stepper,
    decode_rates,
    percentiles,
    random_checkpoint,
    with_window,
)


def versus(settings: BenchSettings) -> dict[str, Any]:
    """Control steps with a full window, taken in turn: ours, eager, (a) recomputed, (b) rivals."""
    robot = load_robot(settings.robot)
    report = {'checkpoint': _race(settings.load(), robot, settings.steps)}
    for preset in settings.models:
        report[preset] = _race(random_checkpoint(preset, robot, settings.device), robot,
                               max(3, settings.steps // 20))
    return report


def _race(checkpoint: Checkpoint, robot: RobotSpec, steps: int) -> dict[str, Any]:
    """Interleave the contenders, so that what disturbs one disturbs all."""
    full = with_window(checkpoint)
    ours, eager = (Stepper(full, robot, engine) for engine in ('auto', 'eager'))
    for stepper in (ours, eager):
        stepper.fill()
    contenders: dict[str, Callable[[], object]] = {
        'engine': ours.step, 'eager': eager.step,
        'a: whole window for every token': Recomputed(checkpoint.model, robot).step}
    left_out = ''
    try:
        for kind, dtype in (('dynamic', torch.float32), ('static', torch.float32),
                            ('dynamic', torch.bfloat16)):
            name = str(dtype).removeprefix('torch.')
            contenders[f'b: transformers, {kind} cache, {name}'] = Transformers(
                checkpoint.model, robot, kind, dtype).step
    except ModuleNotFoundError as error:
        left_out = f'{error.name} is not installed: pip install gato_ros[bench]'
    wall: dict[str, list[float]] = {name: [] for name in contenders}
    cpu: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(steps):
        for name, step in contenders.items():
            if name.startswith('a:') and turn >= max(2, steps // 10):
                continue
            before, processor = time.perf_counter(), time.process_time()
            step()
            if checkpoint.model.device.type == 'cuda':
                torch.cuda.synchronize()
            wall[name].append((time.perf_counter() - before) * 1e3)
            cpu[name].append((time.process_time() - processor) * 1e3)
    decode = [ours.step()['decode'] for _ in range(steps)]
    ratios = {name: {'wall': round(float(np.median(wall[name]) / np.median(wall['engine'])), 2),
                     'cpu': round(float(np.median(cpu[name]) / np.median(cpu['engine'])), 2)}
              for name in contenders if name != 'engine'}
    return {'engine': ours.policy.engine.name, 'left_out': left_out, 'slower_by': ratios,
            'wall_ms': {name: percentiles(times) for name, times in wall.items()},
            'cpu_ms': {name: percentiles(times) for name, times in cpu.items()},
            **decode_rates(ours.policy, float(np.median(decode)))}


class Recomputed:
    """(a): no cache; the whole window goes through the model once for every action token."""

    def __init__(self, model: Gato, robot: RobotSpec) -> None:
        tokenizer = TimestepTokenizer(robot.timestep())
        rng = np.random.default_rng(0)
        blocks = []
        for seed in range(CAPACITY // len(tokenizer.layout())):
            observation = robot.example_observation(seed)
            sent = rng.uniform(robot.command_low, robot.command_high)
            blocks.append(tokenizer.encode(observation.images, observation.proprioception,
                                           {robot.command_field: sent}))
        self._model, device = model, model.device
        self._layout = sequence_layout([b.layout for b in blocks]).to(device)
        self._ids, self._patches = (
            torch.from_numpy(np.concatenate(parts)).to(device)[None]
            for parts in ([b.ids.astype(np.int64) for b in blocks], [b.patches for b in blocks]))
        self._actions = tokenizer.layout().actions

    @torch.inference_mode()
    def step(self) -> None:
        """Choose every token of the last timestep's action."""
        length = self._ids.shape[1]
        for i in range(length - self._actions, length):
            hidden, = self._model.run([Part(self._ids, self._patches, self._layout,
                                            self._layout.causal_mask(),
                                            torch.tensor([i - 1], device=self._ids.device))])
            self._ids[0, i] = vocab.CONTINUOUS[0] + self._model.logits(
                hidden[0, 0], *vocab.CONTINUOUS).argmax()


class Transformers:
    """(b): Hugging Face's Llama of the same sizes with the same matrices, one token at a time.

    Its norms are RMS and its positions rotary, which costs it less than relative ones cost us; its
    cache cannot slide, so it is set back after each step, which takes some microseconds. It takes
    the likeliest token and draws none.
    """

    def __init__(self, model: Gato, robot: RobotSpec, cache: str, dtype: torch.dtype) -> None:
        from transformers import DynamicCache, LlamaConfig, LlamaModel, StaticCache

        arch = model.arch
        config = LlamaConfig(
            vocab_size=1, bos_token_id=None, eos_token_id=None, hidden_size=arch.width,
            intermediate_size=arch.feedforward // 2, num_hidden_layers=arch.layers,
            num_attention_heads=arch.heads, num_key_value_heads=arch.heads,
            head_dim=arch.key_size, hidden_act='gelu', max_position_embeddings=2 * CAPACITY)
        device = model.device
        self._llama = LlamaModel(config).eval().requires_grad_(False).to(device, dtype)
        for block, layer in zip(model.blocks, self._llama.layers, strict=True):
            attention, feedforward = layer.self_attn, layer.mlp
            key, value = block.attention.key_value.weight.chunk(2)
            up, gate = block.feedforward.hidden.weight.chunk(2)
            for target, weight in (
                    (attention.q_proj, block.attention.query.weight), (attention.k_proj, key),
                    (attention.v_proj, value), (attention.o_proj, block.attention.out.weight),
                    (feedforward.up_proj, up), (feedforward.gate_proj, gate),
                    (feedforward.down_proj, block.feedforward.out.weight)):
                target.weight.copy_(weight)
        self._static = cache == 'static'
        self._cache: Any = (StaticCache(config=config, max_cache_len=CAPACITY) if self._static
                       else DynamicCache(config=config))
        tokenizer = TimestepTokenizer(robot.timestep())
        whole = tokenizer.layout()
        self._model, self._actions = model, whole.actions
        self._local = torch.tensor(int(whole.local[-1]), device=device)
        observed = tokenizer.observe(robot.example_observation(0))
        self._layout = sequence_layout([observed.layout]).to(device)
        self._ids = torch.from_numpy(observed.ids).to(device).long()[None]
        self._patches = torch.from_numpy(observed.patches).to(device)[None]
        # What is cached when a step begins: all but the former action's last token.
        self._past = (CAPACITY // len(whole) - 1) * len(whole) - 1
        with torch.inference_mode():
            past = torch.randn(1, self._past, arch.width, device=device, dtype=dtype)
            self._llama(inputs_embeds=past, past_key_values=self._cache, use_cache=True)

    @torch.inference_mode()
    def step(self) -> None:
        """Append the former action's last token and an observation; choose eight tokens."""
        table = self._model.embedding.table.weight
        head = table[slice(*vocab.CONTINUOUS)]
        last = head[:1] + self._model.embedding.local.weight[self._local]
        x = torch.cat([last[None], self._model.embedding(self._ids, self._patches,
                                                         self._layout)], dim=1)
        for i in range(self._actions):
            hidden = self._llama(inputs_embeds=x.to(self._llama.dtype), use_cache=True,
                                 past_key_values=self._cache).last_hidden_state.to(head.dtype)
            chosen = F.linear(hidden[0, -1], head).argmax()
            if i + 1 < self._actions:
                x = (head[chosen] + self._model.embedding.local.weight[self._local])[None, None]
        self._set_back()

    def _set_back(self) -> None:
        if self._static:
            for layer in self._cache.layers:
                layer.cumulative_length.fill_(self._past)
        else:
            self._cache.crop(self._past - self._cache.get_seq_length())


def agreement(settings: BenchSettings) -> dict[str, Any]:
    """Greedy tokens and scores on recorded steps: the engine beside eager float32."""
    checkpoint = settings.load()
    return {'window as shipped': _agree(settings, checkpoint),
            'full window': _agree(settings, with_window(checkpoint))}


def _agree(settings: BenchSettings, checkpoint: Checkpoint) -> dict[str, Any]:
    robot = load_robot(settings.robot)
    fast, slow = (GatoPolicy(checkpoint, robot.timestep(), 0.0, engine=engine)
                  for engine in ('auto', 'eager'))
    scores = []
    for policy in (fast, slow):
        policy.engine = watched = _Watched(policy.engine)
        scores.append(watched)
    steps = same = 0
    largest, differences = 0.0, []
    for sentence, observation, sent in _recorded(settings, robot, 5 * settings.steps):
        if sentence is not None:
            fast.reset(sentence, literal=True)
            slow.reset(sentence, literal=True)
        answers = [policy.act(observation, sent).tokens for policy in (fast, slow)]
        split = np.flatnonzero(answers[0] != answers[1])
        end = int(split[0]) + 1 if len(split) else len(answers[0])
        gaps = [np.abs(a - b).max() for a, b in zip(scores[0].scores[:end], scores[1].scores[:end],
                                                    strict=True)]
        largest, steps, same = max(largest, *gaps), steps + 1, same + (not len(split))
        if len(split):
            reference = scores[1].scores[end - 1]
            chosen = [answer[end - 1] - vocab.CONTINUOUS[0] for answer in answers]
            differences.append({'step': steps, 'token': end - 1, 'margin': float(
                reference[chosen[1]] - reference[chosen[0]])})
    return {'engine': fast.engine.name, 'steps': steps, 'identical': same,
            'largest_difference_of_scores': float(largest), 'bound': fast.engine.bound,
            'differences': differences, 'explained': bool(
                largest <= fast.engine.bound
                and all(d['margin'] <= 2 * fast.engine.bound for d in differences))}


class _Watched:
    """An engine whose scores can be read after each step."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self.name, self.bound = engine, engine.name, engine.bound
        self.stride, self.another = engine.stride, engine.another
        self.encode, self.extend = engine.encode, engine.extend
        self.scores: list[np.ndarray] = []

    def decode(self, places: Sequence[Place], slots: np.ndarray, window: ContextWindow,
               temperature: float = 0.0, noise: Sequence[np.ndarray] | None = None,
               logits: Sequence[np.ndarray] | None = None) -> np.ndarray:
        self.scores = [np.zeros(p.high - p.low, np.float32) for p in places]
        return self._engine.decode(places, slots, window, temperature, noise, self.scores)


def _recorded(settings: BenchSettings, robot: RobotSpec, count: int) -> Iterator[
        tuple[str | None, Observation, Mapping[str, np.ndarray] | None]]:
    """Yield (sentence where an episode begins, observation, what was sent before) of episodes."""
    folder = settings.episodes or _record(settings.out / 'episodes', robot, count)
    for path, info in list_episodes(folder):
        data = read_slice(path, 0, min(info.length, count))
        former = None
        for step in range(min(info.length, count)):
            observation, sent = timestep(data, step)
            yield None if step else info.sentence, observation, former
            former = sent
            count -= 1
            if count == 0:
                return


def _record(folder: Path, robot: RobotSpec, steps: int) -> Path:
    """Let the expert act for so many steps at least; what is there already is kept."""
    from gato_ros.training.collect import CollectSettings, collect
    episodes = max(10, steps // 40)  # it takes sixty steps or so
    for _ in collect(CollectSettings(folder, episodes, robot=robot.name, workers=1)):
        pass
    return folder
