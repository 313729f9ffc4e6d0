"""Texts that answer something: a question, a picture, or a question about a picture.

A sequence is the picture's timestep if there is one, the question if there is one, then the text
and its end mark: as policy.say and policy.describe ask at control. The loss is taken on the text
alone: nobody wants to hear questions.
"""

from __future__ import annotations

import numpy as np
import torch

from gato_ros.model.layout import SequenceLayout, sequence_layout
from gato_ros.spec import TimestepSpec
from gato_ros.tokens.sequence import TimestepTokenizer
from gato_ros.training.data.group import Group
from gato_ros.training.data.source import WordSource
from gato_ros.training.settings import SourceSettings

ALIKE = 4  # sequences of a group: texts in it are of equal length, which says something of them


class AskedSource(WordSource):
    """Draws texts, every one equally likely, in small groups of equal lengths.

    spec  of the picture; empty where there is none
    """

    def __init__(self, name: str, settings: SourceSettings, spec: TimestepSpec) -> None:
        self.name, self.settings, self.spec = name, settings, spec
        self.tokenizer = TimestepTokenizer(spec)
        self._shown = [self.tokenizer.layout()] if spec.images else []
        self._texts: list[tuple[int, np.ndarray, np.ndarray]] = []  # picture, question, text
        self._alike: dict[tuple[int, int], list[int]] = {}  # lengths -> texts
        self._patches = torch.zeros((1, 0, 16, 16, 3), dtype=torch.uint8)
        self._layouts: dict[tuple[int, int], SequenceLayout] = {}

    def _add(self, ask: str, text: str, picture: int = 0) -> None:
        """Take a text; ``picture`` is a number among the patches."""
        question = self.tokenizer.sentence(ask).ids
        answer = self.tokenizer.sentence(text, ended=True).ids
        self._alike.setdefault((len(question), len(answer)), []).append(len(self._texts))
        self._texts.append((picture, question, answer))

    @property
    def timesteps(self) -> int:
        return len(self._texts)

    @property
    def longest_prompt(self) -> int:
        return max(len(ask) for _, ask, _ in self._texts)

    def draw(self, rng: np.random.Generator, size: int) -> list[Group]:
        """Return groups of up to ALIKE texts: one drawn from all, and others of its lengths."""
        return [self._group(rng, min(ALIKE, size - start)) for start in range(0, size, ALIKE)]

    def _group(self, rng: np.random.Generator, size: int) -> Group:
        _, ask, text = self._texts[int(rng.integers(len(self._texts)))]
        lengths = len(ask), len(text)
        alike = self._alike[lengths]
        chosen = [self._texts[alike[i]] for i in rng.integers(len(alike), size=size)]
        # Of a picture's timestep only the separator, its last token, has an id.
        head = [np.append(np.full(len(one) - 1, -1), one.low[-1]) for one in self._shown]
        ids = torch.from_numpy(np.stack([
            np.concatenate([*head, ask, text]) for _, ask, text in chosen]).astype(np.int64))
        picture = torch.tensor([number for number, _, _ in chosen])
        return Group(ids, ids, self._patches[picture], torch.zeros((size, 0, 0)),
                     self._layout(*lengths), self.name)

    def _layout(self, ask: int, text: int) -> SequenceLayout:
        if (ask, text) not in self._layouts:
            words = [self.tokenizer.sentence_layout(length, said)
                     for length, said in ((ask, False), (text, True)) if length]
            self._layouts[ask, text] = sequence_layout([*self._shown, *words])
        return self._layouts[ask, text]
