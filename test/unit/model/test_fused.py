"""The compiled attention is the plain one: values, gradients, whole steps."""

from __future__ import annotations

import pytest
import torch

from gato_ros.model import fused
from gato_ros.model.architecture import Architecture
from gato_ros.model.gato import Gato
from gato_ros.model.layout import Part
from gato_ros.model.transformer import Attention, Span

ARCH = Architecture(layers=2, width=64, heads=2, key_size=32, feedforward=128, patch_channels=8,
                    patch_groups=4, stochastic_depth=0.0)
pytestmark = pytest.mark.skipif(fused._library() is None, reason='no C++ compiler here')


def rates(plain: bool, sequences: int, mask: torch.Tensor, outputs: torch.Tensor | None
          ) -> list[torch.Tensor]:
    """Return what attention gives, and the gradients of all that it takes."""
    torch.manual_seed(1)
    attention, length = Attention(ARCH), len(mask)
    with torch.no_grad():
        attention.content_bias.normal_()
        attention.distance_bias.normal_()
    count = length if outputs is None else len(outputs)
    # Rows of a larger matrix, as a packed batch has them.
    queries, seen = (torch.randn(sequences * rows + 3, width, requires_grad=True)
                     for rows, width in ((count, 64), (length, 128)))
    given = (queries[3:], seen[3:], Span(sequences, length, mask[None, None], outputs),
             attention.distances(torch.randn(length, 64)))
    if not plain:
        assert fused.serves(given[0], given[2].mask, outputs, 32)
    out = (attention._attend_plainly if plain else attention._attend)(*given)
    out.backward(torch.randn(out.shape))
    return [out.detach(), queries.grad, seen.grad, attention.distance.weight.grad,
            attention.content_bias.grad, attention.distance_bias.grad]


@pytest.mark.parametrize('length', [16, 17, 61, 130])
@pytest.mark.parametrize('threads', [1, 2])
def test_values_and_gradients_are_the_plain_ones(length: int, threads: int) -> None:
    """With masks as they come: all that was before, a window, some of it at random."""
    before = torch.ones(length, length, dtype=torch.bool).tril()
    sparse = before & (torch.rand(length, length) < 0.5) | torch.eye(length, dtype=torch.bool)
    some = torch.arange(length)[length // 3::2]
    cores = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for mask in (before, before.triu(-5), sparse):
            for outputs in (None, some):
                for one, other in zip(rates(True, 3, mask, outputs),
                                      rates(False, 3, mask, outputs), strict=True):
                    assert torch.allclose(one, other, rtol=1e-4, atol=2e-5 * one.abs().max())
    finally:
        torch.set_num_threads(cores)


def test_what_it_cannot_do_is_left_to_the_plain_lines() -> None:
    mask = torch.ones(1, 1, 32, 32, dtype=torch.bool).tril()
    rows = torch.zeros(32, 64)
    assert fused.serves(rows, mask, None, 32)
    assert not fused.serves(rows.bfloat16(), mask, None, 32)
    assert not fused.serves(rows, mask.expand(2, 1, 32, 32), None, 32), 'one mask for each'
    assert not fused.serves(rows, mask, torch.tensor([31]), 32), 'hardly any output'
    assert not fused.serves(rows, mask, None, 24)


def test_a_few_steps_give_the_same_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two layouts in one batch; what is learnt with either is the same within rounding."""
    from gato_ros.model.layout import sequence_layout
    from gato_ros.spec import DiscreteField, TimestepSpec
    from gato_ros.tokens.sequence import TimestepTokenizer

    def losses(plain: bool) -> list[float]:
        if plain:
            monkeypatch.setattr(fused, 'serves', lambda *_: False)
        torch.manual_seed(0)
        model = Gato(ARCH)
        optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
        found = []
        for step in range(6):
            torch.manual_seed(step)
            parts, labels = [], []
            for count in (2, 5):
                spec = TimestepSpec(
                    discrete=(DiscreteField('seen', tuple('abcdefghijkl'), 8),),
                    discrete_actions=(DiscreteField('action', ('press',), 8),))
                one = TimestepTokenizer(spec).layout()
                layout = sequence_layout([one] * count)
                ids = torch.randint(8, (4, len(layout)))
                parts.append(Part(ids, torch.zeros(4, 0, 16, 16, 3, dtype=torch.uint8), layout,
                                  layout.causal_mask(), layout.actions - 1))
                labels.append(ids[:, layout.actions])
            scores = [model.logits(states, 0, 8) for states in model.run(parts)]
            loss = sum(torch.nn.functional.cross_entropy(score.flatten(0, 1), label.flatten())
                       for score, label in zip(scores, labels, strict=True))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            found.append(loss.item())
        return found

    fast, plain = losses(False), losses(True)
    assert fast[-1] < fast[0]
    assert fast == pytest.approx(plain, rel=1e-4)
