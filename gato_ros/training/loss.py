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
from gato_ros.tokens import vocab
from gato_ros.training.data.group import Group


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
        sequences = sum(len(group.ids) for group in groups)
        parts: dict[str, list[Tensor]] = {}
        shares: dict[str, list[float]] = {}
        log: dict[str, Tensor] = {}
        for source in sources:
            mine = [group for group in groups if group.source == source]
            share = sum(len(group.ids) for group in mine) / sequences
            for name, mean in self._means(mine).items():
                parts.setdefault(name, []).append(share * mean)
                shares.setdefault(name, []).append(share)
                if len(sources) > 1:
                    log[f'{name}/{source}'] = mean.detach()
        loss = torch.stack(parts['tokens']).sum()
        if 'auxiliary' in parts:
            loss = loss + self._auxiliary_weight * torch.stack(parts['auxiliary']).sum()
        log |= {name: torch.stack(some).sum().detach() / sum(shares[name])
                for name, some in parts.items()}
        return loss, log

    def _means(self, groups: Sequence[Group]) -> dict[str, Tensor]:
        """Return each part's mean over the groups of one source."""
        sums: dict[str, list[Tensor]] = {'tokens': [], 'error': [], 'auxiliary': []}
        counts = dict.fromkeys(sums, 0)
        for group in groups:
            for name, total, count in self._parts(group):
                sums[name].append(total)
                counts[name] += count
        return {name: torch.stack(totals).sum() / max(1, counts[name])
                for name, totals in sums.items() if counts[name]}

    def _parts(self, group: Group) -> list[tuple[str, Tensor, int]]:
        """Return (name, sum, count) of one group's losses."""
        layout = group.layout
        wanted = torch.cat([slots - 1 for _, _, slots in layout.targets] + [layout.separators])
        outputs = wanted.unique()
        hidden = self.model(group.ids, group.patches, layout, self._mask(group), outputs).float()

        def at(positions: Tensor) -> Tensor:
            return hidden[:, torch.searchsorted(outputs, positions)]

        parts = []
        for low, high, slots in layout.targets:
            logits = self.model.logits(at(slots - 1), low, high).float()
            labels = group.targets[:, slots] - low
            if (low, high) == vocab.CONTINUOUS:
                distance = (logits.detach().argmax(-1) - labels).abs().sum() * 2 / vocab.BINS
                parts.append(('error', distance, labels.numel()))
            if (low, high) == vocab.CONTINUOUS and len(self._smooth):
                total = -(self._smooth[labels] * logits.log_softmax(dim=-1)).sum()
            else:
                total = F.cross_entropy(logits.flatten(0, -2), labels.flatten(), reduction='sum')
            parts.append(('tokens', total, labels.numel()))
        if self._auxiliary_weight and group.auxiliary.shape[-1]:
            guess = self.model.predict_auxiliary(at(layout.separators))
            known = ~group.auxiliary.isnan()
            total = F.smooth_l1_loss(guess[known], group.auxiliary[known], beta=0.1,
                                     reduction='sum')
            parts.append(('auxiliary', total, int(known.sum())))
        return parts

    def _mask(self, group: Group) -> Tensor:
        whole = group.layout.causal_mask()
        if self._history_dropout == 0:
            return whole
        alone = torch.rand(len(group.ids), device=whole.device) < self._history_dropout
        return torch.where(alone[:, None, None], group.layout.causal_mask(window=1), whole)
