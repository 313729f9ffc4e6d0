"""The Triton kernels, compiled on a GPU, elsewhere in Triton's interpreter: same ids and scores.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from gato_ros.model.architecture import Architecture
from gato_ros.model.gato import Gato
from gato_ros.model.sample import gumbel_noise
from gato_ros.policy.cuda import CudaEngine
from gato_ros.policy.eager import EagerEngine
from gato_ros.policy.engine import Place
from gato_ros.tokens.context import ContextWindow

DEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'
if DEVICE == 'cpu':
    os.environ['TRITON_INTERPRET'] = '1'  # read when the kernels are first imported
pytest.importorskip('triton', reason='triton is not installed, so its kernels were not tested: '
                                     'pip install triton')

# Nothing is a power of two; weights are large enough that every token matters.
SMALL = Architecture(layers=2, width=30, heads=2, key_size=11, feedforward=44, patch_channels=4,
                     patch_groups=2, max_distance=50)
PLACES = [Place(512, 32000, 32037), Place(512, 5, 105), Place(512, 7, 10)]
PINNED, OBSERVED = 5, 14


@pytest.fixture(autouse=True)
def _small_tiles(monkeypatch):
    """So that small sizes have several parts and chunks, too, but few programs to interpret."""
    for name, size in (('TILE', 512), ('CHUNK', 16), ('IDS', 32), ('ROWS', 32)):
        monkeypatch.setattr(f'gato_ros.policy.kernels.{name}', size)


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = Gato(SMALL).eval().requires_grad_(False).to(DEVICE)
    for parameter in model.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def drive(engine, capacity, timesteps, temperature, steps=6):
    """Answer random observations behind a pinned sentence: ids (steps, 3) and all scores."""
    window, generator = ContextWindow(capacity, timesteps), torch.Generator().manual_seed(1)
    rng = np.random.default_rng(2)
    nothing = torch.zeros(0, SMALL.width, device=DEVICE)

    def put(count, slots):
        engine.extend(rng.integers(0, 32000, count).astype(np.int32),
                      rng.integers(0, 512, count).astype(np.int32), nothing, slots, window)

    put(PINNED, window.pin(PINNED))
    found, tokens = [], []
    for _ in range(steps):
        slots = window.append(OBSERVED + len(PLACES))
        tokens.append(window.tokens)
        put(OBSERVED, slots[:OBSERVED])
        noise = [gumbel_noise(p.high - p.low, generator).numpy() for p in PLACES]
        scores = [np.zeros(p.high - p.low, np.float32) for p in PLACES]
        ids = engine.decode(PLACES, slots[OBSERVED:], window, temperature,
                            noise if temperature else None, scores)
        found.append((ids, np.concatenate(scores)))
    ids, scores = map(np.array, zip(*found, strict=True))
    return ids, scores, tokens


@pytest.mark.parametrize(('capacity', 'timesteps', 'temperature'), [
    (120, None, 1.0), (70, None, 0.0), (70, None, 1.0), (60, 2, 1.0)])
def test_ids_and_scores_are_eager_ones_in_every_state_of_the_ring(
        model, capacity, timesteps, temperature):
    """Filling (120 slots), wrapping and evicting behind a pinned sentence, and few timesteps."""
    fast = CudaEngine(model, capacity, OBSERVED, torch.float32, kernels=True)
    assert 'six kernels a layer' in fast.name
    ids, scores, tokens = drive(fast, capacity, timesteps, temperature)
    wanted, reference, _ = drive(EagerEngine(model, capacity), capacity, timesteps, temperature)
    assert (np.diff(tokens) > 0).all() == (capacity == 120), 'the ring must be full in this test'
    assert np.abs(np.diff(reference, axis=0)).max() > 0.5, 'the past must matter in this test'
    np.testing.assert_array_equal(ids, wanted)
    np.testing.assert_allclose(scores, reference, atol=1e-4, rtol=0)


def test_bfloat16_weights_and_ring_are_nearer_than_the_stated_bound(model):
    """Only weights and ring are rounded here, no sum and no state between two products."""
    ids, scores, _ = drive(CudaEngine(model, 70, OBSERVED, kernels=True), 70, None, 0.0, 4)
    wanted, reference, _ = drive(EagerEngine(model, 70), 70, None, 0.0, 4)
    same = (ids == wanted).all(1)
    assert same[0] and 1e-4 < np.abs(scores[0] - reference[0]).max() < 0.1


@pytest.mark.slow
def test_every_kernel_compiles_for_the_cards_that_the_bars_are_stated_for():
    """For compute capability 9.0 (H100, H200) at the sizes of 1.18b, with no card at hand."""
    helper = Path(__file__).parents[1] / 'helpers' / 'compile_kernels.py'
    environment = {name: value for name, value in os.environ.items() if name != 'TRITON_INTERPRET'}
    run = subprocess.run([sys.executable, str(helper)], capture_output=True, text=True,
                         env=environment)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == ['_mix', '_attend', '_join', '_add', '_gate', '_score', '_draw']
