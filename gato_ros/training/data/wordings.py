"""What people say, and the sentence that it means: text with no file behind it.

    - {wordings: stacking, weight: 0.2}

A sequence is what was said, then the sentence that the domain's policy is trained with and its end
mark; the loss is on the sentence. So one policy is told in many words and trained in few: at
control it first says what it understood (policy/understanding.py).
"""

from __future__ import annotations

from itertools import permutations

import numpy as np
import torch

from gato_ros.config import ConfigError
from gato_ros.domains.language.wordings import COUNT, draw, sentence
from gato_ros.domains.stacking.tasks import BLOCKS
from gato_ros.model.layout import SequenceLayout, sequence_layout
from gato_ros.policy.understanding import LONGEST, NOTHING, question
from gato_ros.spec import TimestepSpec
from gato_ros.tokens.sequence import TimestepTokenizer
from gato_ros.training.data.group import Group
from gato_ros.training.data.source import WordSource
from gato_ros.training.settings import SourceSettings

SPOKEN_TO = ('stacking',)  # domains whose commands have a grammar


class WordingSource(WordSource):
    """Draws wordings of a domain's commands and of what is none, each anew.

    Raises ConfigError for a domain whose commands have no grammar.
    """

    timesteps, longest_prompt = 1, LONGEST

    def __init__(self, name: str, settings: SourceSettings) -> None:
        if settings.wordings not in SPOKEN_TO:
            raise ConfigError(f'wordings is {settings.wordings!r}, expected one of the domains '
                              f'whose commands have a grammar: {", ".join(SPOKEN_TO)}')
        self.name, self.settings, self.spec = name, settings, TimestepSpec()
        self.tokenizer = TimestepTokenizer(self.spec)
        self._layouts: dict[tuple[int, int], SequenceLayout] = {}

    @property
    def sentences(self) -> set[str]:
        """All that a wording may mean."""
        return {sentence(kind, blocks) for kind, count in COUNT.items()
                for blocks in permutations(BLOCKS, count)}

    def draw(self, rng: np.random.Generator, size: int) -> list[Group]:
        """Return ``size`` wordings, in a group those of equal lengths."""
        text = self.tokenizer.text
        end = np.array([text.end], np.int32)
        alike: dict[tuple[int, int], list[np.ndarray]] = {}
        for _ in range(size):
            wording = draw(rng)
            said = text.encode(question(wording.said))[:LONGEST]
            meant = text.encode(wording.meant or NOTHING)
            alike.setdefault((len(said), len(meant) + 1), []).append(
                np.concatenate([said, meant, end]))
        return [self._group(lengths, alike[lengths]) for lengths in sorted(alike)]

    def _group(self, lengths: tuple[int, int], members: list[np.ndarray]) -> Group:
        if lengths not in self._layouts:
            self._layouts[lengths] = sequence_layout([
                self.tokenizer.sentence_layout(length, said)
                for length, said in zip(lengths, (False, True), strict=True)])
        ids = torch.from_numpy(np.stack(members).astype(np.int64))
        return Group(ids, ids, torch.zeros((len(ids), 0, 16, 16, 3), dtype=torch.uint8),
                     torch.zeros((len(ids), 0, 0)), self._layouts[lengths], self.name)
