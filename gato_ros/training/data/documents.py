"""Text alone: documents joined into one stream with a mark behind each, cut into sequences.

A sequence is a piece of the stream; at a random place in it one block of text ends and the next
begins, as a prompt and what is said behind it do at deployment (policy.say).
"""

from __future__ import annotations

import glob
from pathlib import Path

import numpy as np
import torch

from gato_ros.config import ConfigError
from gato_ros.model.layout import SequenceLayout, sequence_layout
from gato_ros.spec import TimestepSpec
from gato_ros.tokens.sequence import LOCAL_POSITIONS, TimestepTokenizer
from gato_ros.training.data.group import Group
from gato_ros.training.data.source import WordSource
from gato_ros.training.settings import SourceSettings

SPLITS = 8  # places of a sequence at which its prompt may end, so that layouts stay few


class DocumentSource(WordSource):
    """Draws pieces of ``settings.tokens`` tokens from text files; the end of a text is learnt.

    Raises ConfigError where there is no text.
    """

    def __init__(self, name: str, settings: SourceSettings) -> None:
        self.name, self.settings, self.spec = name, settings, TimestepSpec()
        self.tokenizer = TimestepTokenizer(self.spec)
        files = sorted({file for pattern in settings.documents for file in glob.glob(pattern)})
        texts = [Path(file).read_text(encoding='utf-8', errors='replace').strip()
                 for file in files]
        end = np.array([self.tokenizer.text.end], np.int32)
        parts = [part for text in texts if text
                 for part in (self.tokenizer.text.encode(text), end)]
        if not parts:
            raise ConfigError(f'documents are {", ".join(settings.documents)}, expected patterns '
                              f'of text files; {len(files)} files match and hold no text')
        self._stream = torch.from_numpy(np.concatenate(parts)).long()
        self._length = min(settings.tokens, len(self._stream))
        self._files = len(files)
        self._layouts: dict[int, SequenceLayout] = {}

    @property
    def timesteps(self) -> int:
        return self._files

    @property
    def longest_prompt(self) -> int:
        return LOCAL_POSITIONS

    def draw(self, rng: np.random.Generator, size: int) -> list[Group]:
        """Return ``size`` pieces, every place equally likely, all split at one of a few places."""
        if not size:
            return []
        starts = rng.integers(0, len(self._stream) - self._length + 1, size)
        split = self._length * int(rng.integers(SPLITS)) // SPLITS
        index = torch.from_numpy(starts)[:, None] + torch.arange(self._length)
        ids = self._stream[index]
        return [Group(ids, ids, torch.zeros((size, 0, 16, 16, 3), dtype=torch.uint8),
                      torch.zeros((size, 0, 0)), self._layout(split), self.name)]

    def _layout(self, split: int) -> SequenceLayout:
        if split not in self._layouts:
            parts = [length for length in (split, self._length - split) if length]
            self._layouts[split] = sequence_layout(
                [self.tokenizer.sentence_layout(length) for length in parts])
        return self._layouts[split]
