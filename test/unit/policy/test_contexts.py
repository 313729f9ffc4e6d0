"""Several contexts over one set of weights: they share those, do not mix, and take turns."""

import gc
import itertools
import multiprocessing
import os
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from gato_ros.model.architecture import Architecture
from gato_ros.model.gato import Gato
from gato_ros.model.sample import gumbel_noise
from gato_ros.policy.checkpoint import (
    Checkpoint,
    CheckpointConfig,
    CheckpointError,
    DomainConfig,
    load_checkpoint,
)
from gato_ros.policy.cpu import NativeEngine
from gato_ros.policy.cuda import CudaEngine
from gato_ros.policy.eager import EagerEngine
from gato_ros.policy.engine import EngineError, Place
from gato_ros.policy.policy import GatoPolicy
from gato_ros.policy.turns import Turns
from gato_ros.spec import ContinuousField, DiscreteField, ImageField, Observation, TimestepSpec
from gato_ros.tokens.context import ContextWindow
from gato_ros.tokens.sequence import TimestepTokenizer

BLOCK = 56
ENGINES = {'eager': lambda model, slots: EagerEngine(model, slots),
           'native': lambda model, slots: NativeEngine(model, slots),
           'cuda': lambda model, slots: CudaEngine(model, slots, BLOCK, torch.float32)}
LARGE = Architecture(layers=6, width=256, heads=4, key_size=64, feedforward=2048,
                     patch_channels=8, patch_groups=2, max_distance=256)
PICTURE = ImageField('photo', 32, 48)
JOINTS = ContinuousField('joints', ('a', 'b'), (-1, -1), (1, 1))
BUTTONS, KEYS = DiscreteField('keys', ('x', 'y'), 5), DiscreteField('button', ('button',), 3)
LAYOUTS = {
    'no pictures': TimestepSpec((), (JOINTS,), (), (JOINTS,)),
    'pictures alone': TimestepSpec((PICTURE,), (), (), (), (KEYS,)),
    'no actions': TimestepSpec((PICTURE,), (JOINTS,), (BUTTONS,)),
    'whole numbers alone': TimestepSpec((), (), (BUTTONS,), (), (BUTTONS, KEYS)),
    'nothing to see': TimestepSpec((), (), (), (JOINTS,), (KEYS,)),
    'all kinds': TimestepSpec((PICTURE,), (JOINTS,), (BUTTONS,), (JOINTS,), (KEYS,))}


@pytest.fixture(params=[*ENGINES, pytest.param('graphs', marks=pytest.mark.gpu)])
def new_engine(request):
    if request.param == 'graphs':
        return lambda model, slots: CudaEngine(model.cuda(), slots, BLOCK, graphs=True)
    return ENGINES[request.param]


@pytest.fixture
def large_model():
    return make_large_model()


def make_large_model():
    torch.manual_seed(0)
    model = Gato(LARGE).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def episode(engine, robot, slots, seed):
    """Drive an engine step by step; yield each step's ids and scores."""
    tokenizer, generator = TimestepTokenizer(robot.timestep()), torch.Generator().manual_seed(seed)
    window, whole = ContextWindow(slots), tokenizer.layout()
    places = [Place(*map(int, place)) for place in zip(
        *(column[whole.action_part] for column in (whole.local, whole.low, whole.high)),
        strict=True)]
    for step in itertools.count(100 * seed):
        block = tokenizer.observe(robot.example_observation(step))
        into, layout = window.append(len(block) + 8), block.layout
        engine.extend(block.ids, layout.local, engine.encode(
            block.patches, layout.rows, layout.columns), into[:len(block)], window)
        noise = [gumbel_noise(1024, generator).numpy() for _ in places]
        scores = np.zeros((8, 1024), np.float32)
        yield engine.decode(places, into[len(block):], window, 1.0, noise, list(scores)), scores


def steps_of(*episodes, count=8):
    """Take turns between episodes; return the steps of each."""
    rows = [[next(one) for one in episodes] for _ in range(count)]
    return [list(column) for column in zip(*rows, strict=True)]


def test_two_sequences_in_turn_give_bit_for_bit_what_each_gives_alone(
        lively_model, robot, new_engine):
    """Rings of different sizes that both wrap, and the first engine gone before the second."""
    alone = [steps_of(episode(new_engine(lively_model, slots), robot, slots, seed))[0]
             for slots, seed in ((130, 1), (251, 2))]
    first = new_engine(lively_model, 130)
    second = first.another(251, BLOCK)
    together = steps_of(episode(first, robot, 130, 1), episode(second, robot, 251, 2))
    for one, other in zip(alone, together, strict=True):
        for (ids, scores), (same_ids, same_scores) in zip(one, other, strict=True):
            np.testing.assert_array_equal(ids, same_ids)
            np.testing.assert_array_equal(scores, same_scores)
    third = first.another(130, BLOCK)
    del first, second
    gc.collect()
    for (ids, scores), (same_ids, same_scores) in zip(
            alone[0], steps_of(episode(third, robot, 130, 1))[0], strict=True):
        np.testing.assert_array_equal(ids, same_ids)
        np.testing.assert_array_equal(scores, same_scores)


def test_a_ring_in_float16_beside_one_in_float32_changes_neither(lively_model, robot, monkeypatch):
    monkeypatch.setattr('gato_ros.policy.cpu.WHOLE_RING', 2**18)  # so that 251 slots are many
    for weight in lively_model.parameters():
        weight.copy_(weight.bfloat16().float())
    small, large = NativeEngine(lively_model, 130), NativeEngine(lively_model, 512)
    assert (small.cache_bytes, large.cache_bytes) == (4, 2)
    alone = [steps_of(episode(engine, robot, slots, 1))[0]
             for engine, slots in ((small, 130), (large, 512))]
    first = NativeEngine(lively_model, 130)
    second = first.another(512, BLOCK)
    assert (first.cache_bytes, second.cache_bytes) == (4, 2)
    together = steps_of(episode(first, robot, 130, 1), episode(second, robot, 512, 1))
    for one, other in zip(alone, together, strict=True):
        for (_, scores), (_, same) in zip(one, other, strict=True):
            np.testing.assert_array_equal(scores, same)


def test_what_another_sequence_takes_is_its_ring_alone(large_model):
    first = NativeEngine(large_model, 64)
    others = [first.another(64, 0) for _ in range(8)]
    for other in others:
        assert other._weights.handle.value == first._weights.handle.value
        assert other.bytes_per_token == first.bytes_per_token
    assert len({engine._handle.value for engine in (first, *others)}) == 9
    # In a process of its own: this one may have memory left that other tests have freed.
    with multiprocessing.get_context('spawn').Pool(1) as pool:
        copies, sequences = pool.apply(measure_growth)
    assert copies > 2 * first.bytes_per_token > 50e6, 'four copies of the weights take memory'
    assert sequences < first.bytes_per_token


def measure_growth():
    """Return by how many resident bytes four engines grow a process, then eight sequences."""
    def resident():
        gc.collect()
        pages = int(Path('/proc/self/statm').read_text(encoding='ascii').split()[1])
        return pages * os.sysconf('SC_PAGE_SIZE')

    model, marks = make_large_model(), [resident()]
    engines = [NativeEngine(model, 64) for _ in range(4)]
    marks.append(resident())
    others = [engines[0].another(64, 0) for _ in range(8)]
    marks.append(resident())
    assert len(others) == 8
    return marks[1] - marks[0], marks[2] - marks[1]


def test_other_engines_share_their_weights_too(lively_model):
    cuda = ENGINES['cuda'](lively_model, 64)
    other = cuda.another(96, 32)
    for one, two in zip(cuda._layers, other._layers, strict=True):
        assert one.weights['mix'].data_ptr() == two.weights['mix'].data_ptr()
        assert one.distances.data_ptr() == two.distances.data_ptr()
    assert not {ring.data_ptr() for ring in cuda._rings} & {r.data_ptr() for r in other._rings}
    eager = EagerEngine(lively_model, 64)
    for one, two in zip(eager._cache, eager.another(96)._cache, strict=True):
        assert one.distances.data_ptr() == two.distances.data_ptr()
        assert one.keys.data_ptr() != two.keys.data_ptr() and two.keys.shape[1] == 96


def test_a_ring_that_does_not_fit_is_refused(lively_model, monkeypatch):
    engine = NativeEngine(lively_model, 64)
    monkeypatch.setattr('gato_ros.policy.cpu.available_memory', lambda: 2.0**16)
    with pytest.raises(EngineError, match=r'the ring of a context, 0\.1 GiB, do not fit'):
        engine.another(2**17, 0)


@pytest.fixture
def checkpoint(make_checkpoint):
    return load_checkpoint(make_checkpoint(temperature=1.0, more={
        'text': DomainConfig(TimestepSpec(), 300),
        **{name: DomainConfig(spec, 200) for name, spec in LAYOUTS.items()}}))


@pytest.mark.parametrize('layout', LAYOUTS)
def test_every_layout_is_answered_alike_by_all_engines(checkpoint, layout):
    """Timesteps with words of different lengths among them; the ring wraps."""
    spec, answers = LAYOUTS[layout], []
    rng = np.random.default_rng(0)
    observations = [Observation(
        {f.name: rng.integers(0, 256, (f.height, f.width, 3), np.uint8) for f in spec.images},
        {f.name: rng.integers(0, 5, f.size) if isinstance(f, DiscreteField)
         else rng.uniform(-1, 1, f.size) for f in spec.tensors},
        text='press the red one ' * (step % 3)) for step in range(40)]
    for new in ENGINES.values():
        policy = GatoPolicy(checkpoint, layout, temperature=1.0, engine='eager')
        policy.engine = new(checkpoint.model, policy.window.capacity)
        policy.warm_up()
        policy.reset('do it')
        actions = [policy.act(observation) for observation in observations]
        assert policy.window.pinned and 170 < policy.window.tokens <= 200
        assert all(action.values.keys() == {f.name for f in spec.actions} for action in actions)
        answers.append([action.tokens.tolist() for action in actions])
        for action in actions:
            for field in spec.discrete_actions:
                assert (action.values[field.name] < field.count).all()
    assert answers[0] == answers[1] == answers[2]
    assert len(answers[0][0]) == spec.action_size


def test_a_context_of_an_unknown_domain_is_refused(checkpoint):
    with pytest.raises(CheckpointError, match="no domain 'atari'"):
        GatoPolicy(checkpoint, 'stacking').beside('atari')


def test_contexts_in_turn_say_and_do_what_each_does_alone(checkpoint, robot):
    def acts(policy):
        return [policy.act(robot.example_observation(step)).tokens.tolist() for step in range(6)]

    alone = acts(GatoPolicy(checkpoint, 'stacking', seed=5))
    words = list(GatoPolicy(checkpoint, 'text', seed=7).say('hello there', 1.0, 60))
    policy = GatoPolicy(checkpoint, robot.timestep(), seed=5)
    chat = policy.beside('text', seed=7)
    assert chat.window.capacity == 300 and policy.window.capacity == 1024
    answer = chat.say('hello there', 1.0, 60)
    said, done = [], []
    for step in range(6):
        said += itertools.islice(answer, 5)
        done.append(policy.act(robot.example_observation(step)).tokens.tolist())
    assert done == alone and said + list(answer) == words


def test_an_urgent_turn_is_the_next_one():
    turns, order, began = Turns(), [], threading.Event()

    def take(kind, name):
        with getattr(turns, kind)():
            order.append(name)

    with turns.patient():
        threads = [threading.Thread(target=take, args=('patient', f'chat {i}')) for i in range(3)]
        for thread in threads:
            thread.start()
        began.wait(0.05)  # they wait now
        threads.append(threading.Thread(target=take, args=('urgent', 'control')))
        threads[-1].start()
        began.wait(0.05)
        assert not order
    for thread in threads:
        thread.join(10)
    assert order[0] == 'control' and sorted(order[1:]) == ['chat 0', 'chat 1', 'chat 2']


def test_a_turn_is_given_back_whatever_happens():
    turns = Turns()
    for kind in (turns.urgent, turns.patient):
        with pytest.raises(KeyError), kind():
            raise KeyError
        with kind():
            pass


class WatchedTurns(Turns):
    """Notes how long urgent turns were waited for, and how long patient ones took."""

    def __init__(self):
        super().__init__()
        self.waits, self.passes = [], []

    @contextmanager
    def urgent(self):
        asked = time.perf_counter()
        with super().urgent():
            self.waits.append(time.perf_counter() - asked)
            yield

    @contextmanager
    def patient(self):
        with super().patient():
            began = time.perf_counter()
            yield
            self.passes.append(time.perf_counter() - began)


def test_a_chat_in_another_thread_delays_a_control_step_by_one_tokens_pass_at_most(
        large_model, robot):
    """At 20 Hz; an answer in one turn would take a hundred times as long as a pass."""
    checkpoint = Checkpoint(CheckpointConfig(LARGE, {
        'stacking': DomainConfig(robot.timestep(), temperature=1.0, window_timesteps=1),
        'text': DomainConfig(TimestepSpec(), 400)}), large_model, Path())
    question, observations = 'what is on the table ' * 20, [
        robot.example_observation(step) for step in range(30)]

    def control(policy, period_s):
        tokens = []
        for observation in observations:
            due = time.perf_counter() + period_s
            tokens.append(policy.act(observation).tokens.tolist())
            time.sleep(max(0.0, due - time.perf_counter()))
        return tokens

    def answer(chat):
        chat.reset()
        return ''.join(chat.say(question, temperature=1.0, longest=200))

    policy = GatoPolicy(checkpoint, 'stacking', engine='native')
    policy._turns = turns = WatchedTurns()
    chat, answers, stop = policy.beside('text'), [], threading.Event()
    alone, said_alone = control(policy, 0.0), answer(chat)
    policy.reset()
    turns.waits.clear(), turns.passes.clear()

    def talk():
        while not stop.is_set():
            answers.append(answer(chat))

    talker = threading.Thread(target=talk)
    talker.start()
    assert control(policy, 0.05) == alone
    stop.set()
    talker.join()
    assert answers and set(answers) == {said_alone}
    assert len(turns.waits) == 30 and len(turns.passes) > 300
    whole = sum(turns.passes) / len(answers)
    bound = max(turns.passes) + 0.03  # what the system takes to wake a thread
    print(f'longest wait {max(turns.waits) * 1e3:.2f} ms, pass {np.median(turns.passes) * 1e3:.2f}'
          f' ms, answer {whole * 1e3:.0f} ms')
    assert max(turns.waits) < bound < whole
