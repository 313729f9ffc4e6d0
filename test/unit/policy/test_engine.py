"""Fast paths against the eager one: same tokens, same scores, in every state of the window."""

import threading
import time

import numpy as np
import pytest
import torch

from gato_ros.model.architecture import Architecture
from gato_ros.model.gato import Gato
from gato_ros.model.sample import gumbel_noise
from gato_ros.policy import cpu
from gato_ros.policy.checkpoint import load_checkpoint
from gato_ros.policy.choice import build_engine
from gato_ros.policy.cpu import NativeEngine
from gato_ros.policy.eager import EagerEngine
from gato_ros.policy.engine import EngineError, Place
from gato_ros.policy.policy import GatoPolicy
from gato_ros.robot import TORQUES
from gato_ros.tokens.context import ContextWindow
from gato_ros.tokens.sequence import TimestepTokenizer

ODD = Architecture(layers=3, width=50, heads=3, key_size=21, feedforward=118, patch_channels=8,
                   patch_groups=2, max_distance=40)  # nothing is a multiple of a register
BOUND = 1e-4  # largest difference between two paths' scores that rounding explains


def scores_of(engine, robot, capacity=1024, timesteps=None, steps=20, temperature=0.0):
    """Drive an engine through an episode behind a sentence; return ids (n, 8) and scores."""
    tokenizer, generator = TimestepTokenizer(robot.timestep()), torch.Generator().manual_seed(1)
    window, whole = ContextWindow(capacity, timesteps), tokenizer.layout()
    places = [Place(*p) for p in zip(whole.local[-8:].tolist(), whole.low[-8:].tolist(),
                                     whole.high[-8:].tolist(), strict=True)]

    def put(block, slots):
        layout, pictures = block.layout, engine.encode(block.patches, block.layout.rows,
                                                       block.layout.columns)
        engine.extend(block.ids, layout.local, pictures, slots, window)

    sentence = tokenizer.sentence('stack the red block on the blue block')
    put(sentence, window.pin(len(sentence)))
    all_ids, all_scores = [], []
    for seed in range(steps):
        block = tokenizer.observe(robot.example_observation(seed))
        slots = window.append(len(block) + 8)
        put(block, slots[:len(block)])
        noise = [gumbel_noise(1024, generator).numpy() for _ in places] if temperature else None
        scores = np.zeros((8, 1024), np.float32)
        ids = engine.decode(places, slots[len(block):], window, temperature, noise, list(scores))
        all_ids.append(ids)
        all_scores.append(scores)
    return np.array(all_ids), np.array(all_scores)


def assert_alike(fast, slow, bound=BOUND):
    """Scores agree up to the first different token of a step, and there is none."""
    for ids, scores, wanted, reference in zip(*fast, *slow, strict=True):
        split = np.flatnonzero(ids != wanted)
        end = split[0] + 1 if len(split) else len(ids)
        np.testing.assert_allclose(scores[:end], reference[:end], atol=bound, rtol=0)
        assert not len(split)


@pytest.fixture
def odd_model():
    torch.manual_seed(0)
    model = Gato(ODD).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.add_(0.05 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize('temperature', [0.0, 1.0])
@pytest.mark.parametrize(('capacity', 'timesteps'), [
    (1024, None), (220, None), (180, 1), (251, 2)])
def test_native_tokens_and_scores_equal_eager_ones(
        lively_model, robot, capacity, timesteps, temperature):
    """Rings that fill, wrap and evict, and windows of few timesteps, behind a pinned sentence."""
    fast, slow = (scores_of(engine(lively_model, capacity), robot, capacity, timesteps,
                            temperature=temperature) for engine in (NativeEngine, EagerEngine))
    assert np.abs(np.diff(slow[1], axis=0)).max() > 1, 'the past must matter in this test'
    assert_alike(fast, slow)


def decoder(engine, robot):
    """Return engine.decode behind one observation; it can be called again and again."""
    tokenizer, window = TimestepTokenizer(robot.timestep()), ContextWindow(180)
    block = tokenizer.observe(robot.example_observation(0))
    slots = window.append(len(block) + 8)
    engine.extend(block.ids, block.layout.local, engine.encode(
        block.patches, block.layout.rows, block.layout.columns), slots[:len(block)], window)
    hidden = None if isinstance(engine, NativeEngine) else engine._hidden

    def decode(places, *args, **more):
        if hidden is None:  # the first hidden state is gone after a decoding
            engine.extend(block.ids[-1:], block.layout.local[-1:], torch.zeros(0),
                          slots[len(block) - 1:len(block)], window)
        else:
            engine._hidden = hidden
        return engine.decode(places, slots[len(block):][:len(places)], window, *args, **more)
    return decode


def test_a_draft_saves_passes_and_changes_no_token(lively_model, robot):
    engine = NativeEngine(lively_model, 180)
    decode, generator = decoder(engine, robot), torch.Generator().manual_seed(0)
    places = [Place(512, 32000, 33024)] * 8
    for seed in range(20):
        noise = [gumbel_noise(1024, generator).numpy() for _ in places]
        plain = decode(places, 1.0, noise)
        assert engine.passes == 7
        right = np.random.default_rng(seed).random(8) < 0.7
        draft = np.where(right, plain, (plain + 1 - 32000) % 1024 + 32000).astype(np.int32)
        np.testing.assert_array_equal(decode(places, 1.0, noise, draft=draft), plain)
        wrong = np.flatnonzero(~right[1:7])
        assert engine.passes == 1 + len(wrong)


def test_drafted_samples_follow_the_models_distribution(lively_model, robot):
    """Chi-square over all 6 x 6 x 6 answers; their probabilities come from the eager path."""
    places, temperature, count = [Place(512, 32000, 32006)] * 3, 1.5, 6000
    reference = decoder(EagerEngine(lively_model, 180), robot)
    expected = np.zeros((6, 6, 6))
    for first, second in np.ndindex(6, 6):  # noise that forces the first two tokens
        noise = [np.where(np.arange(6) == n, -1e6, 0).astype(np.float32)
                 for n in (first, second, 0)]
        scores = np.zeros((3, 6), np.float32)
        reference(places, temperature, noise, list(scores))
        p = np.exp(scores / temperature) / np.exp(scores / temperature).sum(1, keepdims=True)
        expected[first, second] = p[0, first] * p[1, second] * p[2]
    assert expected.sum() == pytest.approx(1.0, abs=1e-5)
    decode = decoder(NativeEngine(lively_model, 180), robot)
    generator, draft = torch.Generator().manual_seed(0), np.full(3, 32000, np.int32)
    found = np.zeros((6, 6, 6))
    for _ in range(count):
        noise = [gumbel_noise(6, generator).numpy() for _ in places]
        draft = decode(places, temperature, noise, draft=draft)  # the former answer is the guess
        found[tuple(draft - 32000)] += 1
    enough = expected * count >= 5
    rest = np.array([found[~enough].sum()]), np.array([expected[~enough].sum() * count])
    seen, wanted = np.append(found[enough], rest[0]), np.append(expected[enough] * count, rest[1])
    square, freedom = ((seen - wanted) ** 2 / np.maximum(wanted, 1e-9)).sum(), len(seen) - 1
    assert freedom > 20
    # 99.9 % of chi-square, by Wilson and Hilferty's cube root.
    limit = freedom * (1 - 2 / (9 * freedom) + 3.09 * (2 / (9 * freedom)) ** 0.5) ** 3
    assert square < limit, f'chi-square {square:.1f} with {freedom} degrees, limit {limit:.1f}'


def test_sizes_that_fit_no_register_and_far_distances_are_right(odd_model, robot):
    assert_alike(*(scores_of(engine(odd_model, 1024), robot)
                   for engine in (NativeEngine, EagerEngine)))


def test_several_threads_compute_the_same(lively_model, robot):
    assert_alike(scores_of(NativeEngine(lively_model, 1024, threads=2), robot, steps=5),
                 scores_of(EagerEngine(lively_model, 1024), robot, steps=5))


@pytest.mark.parametrize('temperature', [0.0, 1.0])
@pytest.mark.parametrize(('capacity', 'timesteps'), [(1024, None), (251, 2)])
def test_a_ring_in_float16_stays_within_its_bound_and_changes_only_ties(
        lively_model, robot, capacity, timesteps, temperature):
    engine = NativeEngine(lively_model, capacity, half_ring=True)
    assert engine.name == 'native float32, float16 ring' and engine.cache_bytes == 2
    fast, slow = (scores_of(path, robot, capacity, timesteps, temperature=temperature)
                  for path in (engine, EagerEngine(lively_model, capacity)))
    assert_alike(fast, slow, engine.bound / 10)
    assert np.abs(fast[1] - slow[1]).max() > 1e-5, 'nothing was rounded'


def test_a_ring_is_rounded_only_beside_rounded_weights_and_where_it_is_large(robot):
    """The shipped window is small: its answers stay those of float32, but for last digits."""
    model = load_checkpoint().model
    assert [NativeEngine(model, slots, weights).name for slots, weights in (
        (176, None), (1024, None), (1024, 'float32'))] == [
            'native bfloat16', 'native bfloat16, float16 ring', 'native float32']


def test_bfloat16_weights_are_taken_only_where_they_lose_nothing(lively_model, robot):
    assert NativeEngine(lively_model, 64).name == 'native float32'
    for weight in lively_model.parameters():
        weight.copy_(weight.bfloat16().float())
    assert NativeEngine(lively_model, 64).name == 'native bfloat16'
    assert_alike(*(scores_of(path(lively_model, 1024), robot) for path in (NativeEngine,
                                                                           EagerEngine)))


def test_weights_of_one_byte_stay_within_their_bound_and_take_a_byte_each(lively_model, robot):
    """Ids may differ; scores up to the first that does are as near as is stated."""
    engine = NativeEngine(lively_model, 251, 'int8')
    assert engine.name == 'native int8'
    arch = lively_model.arch
    padded = sum(-(-rows // 64) * 64 * columns for rows, columns in (
        (64, arch.width), (128, arch.width), (arch.width, 64), (256, arch.width),
        (arch.width, 128)))  # in whole panels of at most 64 rows
    assert engine.bytes_per_token <= arch.layers * padded
    (ids, scores), (wanted, reference) = (
        scores_of(path, robot, 251, 2) for path in (engine, EagerEngine(lively_model, 251)))
    largest = 0.0
    for step in range(len(ids)):
        end = int(np.argmax(np.append(ids[step] != wanted[step], True))) + 1
        largest = max(largest, np.abs(scores[step][:end] - reference[step][:end]).max())
    assert 1e-3 < largest < engine.bound


def test_the_shipped_checkpoint_answers_alike_on_both_paths(robot):
    checkpoint, tokens = load_checkpoint(), {}
    for engine in ('native', 'eager'):
        policy = GatoPolicy(checkpoint, robot.timestep(), temperature=0.0, engine=engine)
        policy.reset('stack the red block on the blue block')
        sent, tokens[engine] = None, []
        for seed in range(20):
            tokens[engine].append(policy.act(robot.example_observation(seed), sent).tokens)
            sent = {TORQUES: np.random.default_rng(seed).uniform(-5, 5, 8)}
    np.testing.assert_array_equal(tokens['native'], tokens['eager'])


def test_other_threads_run_while_the_engine_computes(odd_model, robot):
    """The interpreter's lock is not held in a call, so a node's callbacks are not held up."""
    engine, window = NativeEngine(odd_model, 1000), ContextWindow(1000)
    ids, local = np.zeros(900, np.int32), np.zeros(900, np.int32)
    moments, stop = [], threading.Event()

    def tick():
        while not stop.is_set():
            moments.append(time.perf_counter())
            time.sleep(1e-4)

    thread = threading.Thread(target=tick)
    thread.start()
    within = 0  # in the middle of a call, which may be shorter than a turn on a busy machine
    for _ in range(300):
        begin = time.perf_counter()
        engine.extend(ids, local, torch.zeros(0, ODD.width), window.append(900), window)
        end = time.perf_counter()
        margin = 0.2 * (end - begin)
        within += sum(begin + margin < moment < end - margin for moment in list(moments))
        if within >= 2:
            break
    stop.set()
    thread.join()
    assert within >= 2, f'{within} turns in 300 calls of {end - begin:.3f} s'


def test_the_arithmetic_of_the_process_stays_as_it_was(lively_model):
    NativeEngine(lively_model, 64)
    assert np.float64(5e-324) * np.ones(1) > 0, 'small numbers are flushed to zero'


def test_without_a_compiler_the_eager_path_answers_and_the_reason_is_given(
        lively_model, monkeypatch, tmp_path):
    monkeypatch.setenv('PATH', str(tmp_path))
    cpu._library.cache_clear()
    engine, reason = build_engine(lively_model, 64)
    assert engine.name == 'eager float32'
    assert reason == ('no C++ compiler (c++, g++, clang++) is on the PATH; on Debian and Ubuntu '
                      'install g++')
    with pytest.raises(EngineError, match=r'no C\+\+ compiler'):
        build_engine(lively_model, 64, 'native')


def test_weights_and_ring_that_do_not_fit_are_refused_and_the_eager_path_answers(
        lively_model, monkeypatch):
    monkeypatch.setattr('gato_ros.policy.cpu.available_memory', lambda: 2.0**20)
    engine, reason = build_engine(lively_model, 1024)
    assert engine.name == 'eager float32'
    assert reason == ('a second copy of the weights and the ring, 0.0 GiB, do not fit into the '
                      '0.0 GiB that are free')


def test_a_cache_that_cannot_be_written_is_named(lively_model, monkeypatch, tmp_path):
    (tmp_path / 'file').write_text('')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'file'))
    cpu._library.cache_clear()
    with pytest.raises(EngineError, match=r'file/gato_ros cannot hold the compiled engine: Not a '
                                          r'directory; set XDG_CACHE_HOME'):
        build_engine(lively_model, 64, 'native')


def test_an_engine_of_another_name_is_refused(lively_model):
    with pytest.raises(EngineError, match="engine is 'fast', expected one of auto, eager"):
        build_engine(lively_model, 64, 'fast')
