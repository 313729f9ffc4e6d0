"""The transformer: sizes, causality, and the cached path against the plain one."""

import numpy as np
import pytest
import torch

from gato_ros.config import ConfigError
from gato_ros.model.architecture import Architecture, load_architecture
from gato_ros.model.gato import Gato, count_parameters
from gato_ros.model.kv_cache import reach
from gato_ros.model.layout import Part, sequence_layout
from gato_ros.model.sample import gumbel_noise, pick
from gato_ros.model.transformer import Span
from gato_ros.robot import TORQUES
from gato_ros.tokens.context import ContextWindow
from gato_ros.tokens.sequence import TimestepTokenizer, TokenBlock


@pytest.fixture
def sequence(robot):
    """A sentence and nine whole timesteps."""
    tokenizer, rng = TimestepTokenizer(robot.timestep()), np.random.default_rng(0)
    blocks = [tokenizer.sentence('stack the red block on the blue block')]
    for seed in range(9):
        observation = robot.example_observation(seed)
        blocks.append(tokenizer.encode(observation.images, observation.proprioception,
                                       {TORQUES: rng.uniform(-5, 5, 8)}))
    return blocks


def tensors(blocks):
    return (torch.from_numpy(np.concatenate([b.ids for b in blocks])).long(),
            torch.from_numpy(np.concatenate([b.patches for b in blocks])))


def plain(model, blocks, window=None, pinned=1):
    layout = sequence_layout([b.layout for b in blocks], pinned)
    ids, patches = tensors(blocks)
    return model(ids[None], patches[None], layout, layout.causal_mask(window))[0]


@pytest.mark.parametrize(('preset', 'published'), [
    ('79m', 79e6), ('364m', 364e6), ('1.18b', 1.18e9)])
def test_parameter_counts_match_the_papers(preset, published):
    with torch.device('meta'):
        model = Gato(load_architecture(preset))
    assert count_parameters(model) == pytest.approx(published, rel=0.015)


@pytest.mark.parametrize('step', ['whole timesteps', 'token by token', 'observation, then tokens'])
@pytest.mark.parametrize('prompt', [0, 1])
def test_cached_decoding_equals_the_banded_forward(lively_model, sequence, step, prompt):
    """Without a prompt five timesteps fit: the ring wraps and evicts. Behind one all of them do,
    for it moves up when one leaves (test_context.py), which no forward over a sequence does.
    """
    length, sequence = len(sequence[1]), sequence[1 - prompt:]
    room = len(sequence) if prompt else 5
    window = ContextWindow(prompt * len(sequence[0]) + room * length + 3)
    cache = lively_model.new_cache(window.capacity)
    hidden = []

    def extend(block, start, count, slots):
        part = block.layout.part(start, count)
        before = (block.layout.kind[:start] == 1).sum()
        patches = block.patches[before:before + len(part.rows)]
        ids, patches = tensors([TokenBlock(block.ids[start:start + count], patches, part)])
        x = lively_model.embedding(ids[None], patches[None], sequence_layout([part]))[0]
        hidden.append(lively_model.extend(
            x, cache, reach(window, slots[start:start + count], lively_model.arch.max_distance)))

    for number, block in enumerate(sequence):
        is_prompt = number < prompt
        slots = window.pin(len(block)) if is_prompt else window.append(len(block))
        cuts = {'whole timesteps': [0], 'token by token': range(len(block)),
                'observation, then tokens': [0, *range(length - 8, length)]}[step]
        cuts = [0] if is_prompt else [c for c in cuts if c < len(block)]
        for start, stop in zip(cuts, [*cuts[1:], len(block)], strict=True):
            extend(block, start, stop - start, slots)
    expected = plain(lively_model, sequence, window=room, pinned=prompt)
    assert expected.abs().max() > 1
    torch.testing.assert_close(torch.cat(hidden), expected, atol=2e-5, rtol=0)
    far = plain(lively_model, sequence, window=None)
    assert prompt or (far - expected).abs().max() > 1e-2, 'the window must matter in this test'


def test_parts_run_together_are_as_each_alone(lively_model, sequence):
    """Of several lengths and masks, with and without pictures; only the outputs asked for."""
    layouts = {n: sequence_layout([b.layout for b in sequence[:n]], 1) for n in (1, 2, 4)}
    causal = {n: layout.causal_mask() for n, layout in layouts.items()}
    masks = [causal[2], causal[4], causal[2], causal[1], layouts[4].causal_mask(window=1)]
    parts = []
    for number, (n, mask) in enumerate(zip((2, 4, 2, 1, 4), masks, strict=True)):
        ids, patches = tensors(sequence[:n])
        shifted = torch.stack([ids, ids.roll(number + 1).clamp(min=0).where(ids >= 0, ids)])
        wanted = torch.randperm(len(ids))[:5].sort().values
        parts.append(Part(shifted, patches.expand(2, *patches.shape), layouts[n], mask, wanted))
    lively_model.requires_grad_()
    together = lively_model.run(parts)
    for part, found in zip(parts, together, strict=True):
        alone = lively_model(part.ids, part.patches, part.layout, part.mask)
        torch.testing.assert_close(found, alone[:, part.outputs], atol=2e-5, rtol=0)
    for weights in (lively_model.blocks[0].attention.query.weight,
                    lively_model.embedding.patches.out.weight):
        ways = [torch.autograd.grad(sum(f.square().sum() for f in way), weights)[0] for way in (
            lively_model.run(parts), [lively_model.run([part])[0] for part in parts])]
        torch.testing.assert_close(*ways, rtol=1e-3, atol=1e-3 * ways[0].abs().max().item())


def test_later_tokens_do_not_change_earlier_ones(lively_model, sequence):
    before = plain(lively_model, sequence)
    changed = [*sequence[:-1], TokenBlock(sequence[-1].ids, 255 - sequence[-1].patches,
                                          sequence[-1].layout)]
    after, end = plain(lively_model, changed), len(before) - len(sequence[-1])
    assert torch.equal(before[:end], after[:end])
    assert not torch.allclose(before[end:], after[end:])


def test_a_timestep_alone_does_not_see_its_past(lively_model, sequence):
    length = len(sequence[1])
    alone = plain(lively_model, sequence, window=1, pinned=0)[-length:]
    torch.testing.assert_close(alone, plain(lively_model, sequence[-1:], pinned=0), atol=2e-5,
                               rtol=0)


def test_distances_beyond_the_largest_count_as_the_largest(sequence):
    torch.manual_seed(0)
    preset = load_architecture('tiny')
    near = Gato(Architecture(**{**vars(preset), 'max_distance': 32})).eval()
    assert torch.isfinite(plain(near, sequence)).all()
    assert torch.equal(near._encoding(60)[31:], near._encoding(60)[31:32].expand(29, -1))


def test_patch_positions_are_random_in_training_only(lively_model, sequence):
    blocks = sequence[1:2]
    assert torch.equal(plain(lively_model, blocks), plain(lively_model, blocks))
    lively_model.train()
    assert not torch.equal(plain(lively_model, blocks), plain(lively_model, blocks))


def test_stochastic_depth_skips_in_training_only(sequence):
    torch.manual_seed(0)
    arch = Architecture(**{**vars(load_architecture('tiny')), 'stochastic_depth': 0.9})
    block = Gato(arch).blocks[0]
    spans = [Span(24, 3, torch.ones(1, 1, 3, 3, dtype=bool)),
             Span(40, 3, torch.ones(1, 1, 3, 3, dtype=bool))]
    x, encoding = torch.randn(64 * 3, 64), torch.randn(3, 64)

    def same() -> torch.Tensor:
        return (block(x, spans, encoding) == x).unflatten(0, (64, 3)).all(dim=(1, 2))
    block.train()
    unchanged = same().float().mean()
    assert 0.6 < unchanged < 0.95  # both sub-layers skipped: 0.81
    block.eval()
    assert not same().any()


def test_samples_follow_the_softmax():
    logits = torch.tensor([0.0, 1.0, 2.0]).expand(20000, 3)
    noise = gumbel_noise(60000, torch.Generator().manual_seed(0)).view(20000, 3)
    counts = pick(logits, 0.5, noise).bincount(minlength=3) / 20000
    torch.testing.assert_close(counts, (logits[0] / 0.5).softmax(0), atol=0.015, rtol=0)
    assert (pick(logits) == 2).all()


def test_an_unknown_preset_is_named():
    with pytest.raises(ConfigError, match="model 'huge' is not known; presets: tiny, small"):
        load_architecture('huge')
    with pytest.raises(ConfigError, match='patch_channels 20 must be a multiple of'):
        Architecture(2, 8, 2, 4, 8, patch_channels=20, patch_groups=8)
