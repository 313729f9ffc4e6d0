"""The masked loss (paper, section 2.1), and the training-only regression beside it.

The softmax runs over the range of ids that the specification allows at a place, in training as at
control; the rest of the vocabulary is neither computed nor possible.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gato_ros.model.gato import Gato
from gato_ros.model.layout import Part
from gato_ros.tokens import vocab
from gato_ros.training.data.group import Group

Term = tuple[Tensor, Tensor]  # values (n,), and the number of the source that each is of


class MaskedLoss(nn.Module):
    """A model and its loss, as one module that can be wrapped for several processes.

    smoothing_bins    deviation, in bins, of the Gaussian that replaces a continuous one-hot target
    history_dropout   share of sequences in which every timestep sees only itself and the prompt
    auxiliary_weight  of the training-only regression
    """

    def __init__(self, model: Gato, smoothing_bins: float, history_dropout: float,
                 auxiliary_weight: float) -> None:
        super().__init__()
        self.model = model
        self._history_dropout = history_dropout
        self._auxiliary_weight = auxiliary_weight
        self._masks: dict[tuple[int, torch.device], Tensor] = {}
        smooth = torch.zeros(0, 0)
        if smoothing_bins > 0:
            bins = torch.arange(vocab.BINS, dtype=torch.float32)
            near = torch.exp(-0.5 * ((bins[:, None] - bins[None, :]) / smoothing_bins) ** 2)
            smooth = near / near.sum(dim=1, keepdim=True)
        self.register_buffer('_smooth', smooth, persistent=False)
        self._smooth: Tensor

    def forward(self, groups: Sequence[Group]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of a batch, and its parts for the log.

        The loss is a mean for each source, weighted by the source's share of the sequences: a
        source whose sequences hold many tokens does not drown the others.

        loss       cross-entropy (nats) per text or action token, plus the weighted regression
        tokens     cross-entropy per token
        error      distance between the likeliest bin and the label, as a share of half the range
        auxiliary  smooth L1 error of the training-only targets, in standard deviations

        Of several sources the log also gets each part as ``tokens/SOURCE``.
        """
        sources = list(dict.fromkeys(group.source for group in groups))
        owners = [sources.index(group.source) for group in groups]
        parts = [self._part(group) for group in groups]
        hidden = [states.float() for states in self.model.run(parts)]
        tokens, error = self._tokens(groups, parts, hidden, owners)
        terms = {'tokens': tokens, 'error': error,
                 'auxiliary': self._auxiliary(groups, parts, hidden, owners)}
        sequences = torch.zeros(len(sources), device=hidden[0].device)
        for group, owner in zip(groups, owners, strict=True):
            sequences[owner] += len(group.ids)
        shares = sequences / sequences.sum()
        whole, log = {}, {}
        for name, some in terms.items():
            if not some:
                continue
            means, has = _means(some, len(sources))
            whole[name] = (shares * means).sum()
            log[name] = whole[name].detach() / shares[has].sum()
            if len(sources) > 1:
                log |= {f'{name}/{sources[i]}': means[i].detach() for i in has.nonzero()[:, 0]}
        loss = whole['tokens']
        if 'auxiliary' in whole:
            loss = loss + self._auxiliary_weight * whole['auxiliary']
        return loss, log

    def _part(self, group: Group) -> Part:
        layout = group.layout
        wanted = torch.cat([slots - 1 for _, _, slots in layout.targets] + [layout.separators])
        return Part(group.ids, group.patches, layout, self._mask(group), wanted.unique())

    def _tokens(self, groups: Sequence[Group], parts: Sequence[Part], hidden: Sequence[Tensor],
                owners: Sequence[int]) -> tuple[list[Term], list[Term]]:
        """Return the tokens' cross-entropies, and the errors of the continuous ones."""
        found: dict[tuple[int, int], list[tuple[Tensor, Tensor, Tensor]]] = {}
        for group, part, states, owner in zip(groups, parts, hidden, owners, strict=True):
            for low, high, slots in group.layout.targets:
                labels = (group.targets[:, slots] - low).flatten()
                found.setdefault((low, high), []).append((
                    _at(states, part, slots - 1).flatten(0, 1), labels,
                    torch.full_like(labels, owner)))
        losses: list[Term] = []
        errors: list[Term] = []
        for (low, high), members in found.items():
            rows, labels, owner_of = (torch.cat(some) for some in zip(*members, strict=True))
            logits = self.model.logits(rows, low, high).float()
            if (low, high) == vocab.CONTINUOUS:
                distance = (logits.detach().argmax(-1) - labels).abs() * (2 / vocab.BINS)
                errors.append((distance, owner_of))
            if (low, high) == vocab.CONTINUOUS and len(self._smooth):
                loss = -(self._smooth[labels] * logits.log_softmax(dim=-1)).sum(-1)
            else:
                loss = F.cross_entropy(logits, labels, reduction='none')
            losses.append((loss, owner_of))
        return losses, errors

    def _auxiliary(self, groups: Sequence[Group], parts: Sequence[Part], hidden: Sequence[Tensor],
                   owners: Sequence[int]) -> list[Term]:
        """Return the errors of the training-only targets that are known."""
        terms: list[Term] = []
        for group, part, states, owner in zip(groups, parts, hidden, owners, strict=True):
            known = ~group.auxiliary.isnan()
            if self._auxiliary_weight and known.any():
                guess = self.model.predict_auxiliary(_at(states, part, group.layout.separators))
                error = F.smooth_l1_loss(guess[known], group.auxiliary[known], beta=0.1,
                                         reduction='none')
                terms.append((error, torch.full_like(error, owner, dtype=torch.int64)))
        return terms

    def _mask(self, group: Group) -> Tensor:
        length, device = len(group.layout), group.ids.device
        if (length, device) not in self._masks:  # the same tensor, so that parts attend together
            self._masks[length, device] = group.layout.causal_mask()
        whole = self._masks[length, device]
        if self._history_dropout == 0:
            return whole
        alone = torch.rand(len(group.ids), device=device) < self._history_dropout
        return torch.where(alone[:, None, None], group.layout.causal_mask(window=1), whole)


def _at(states: Tensor, part: Part, positions: Tensor) -> Tensor:
    """Return the hidden states (B, n, D) at some of a part's outputs."""
    return states[:, torch.searchsorted(part.outputs, positions)]


def _means(terms: Sequence[Term], sources: int) -> tuple[Tensor, Tensor]:
    """Return the mean of each source's values, and which sources have any: both (sources,)."""
    values = torch.cat([value for value, _ in terms])
    mine = F.one_hot(torch.cat([owner for _, owner in terms]), sources).T.to(values.dtype)
    counts = mine.sum(1)
    return mine @ values / counts.clamp(min=1), counts > 0
