"""Pictures with text: a caption, or a question and its answer.

A folder of pictures holds ``captions.jsonl``, a line for each text:

    {"picture": "one.png", "text": "a red block on a blue one"}
    {"picture": "one.png", "ask": "what is on top?", "text": "the red block"}

A sequence is the picture's timestep, the question if there is one, then the text and its end.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import torch

from gato_ros.config import ConfigError
from gato_ros.model.layout import SequenceLayout, sequence_layout
from gato_ros.spec import ImageField, TimestepSpec
from gato_ros.tokens.images import patches
from gato_ros.tokens.sequence import TimestepTokenizer
from gato_ros.training.data.group import Group
from gato_ros.training.data.source import WordSource
from gato_ros.training.settings import SourceSettings

FILE, FIELD = 'captions.jsonl', 'picture'


class PictureSource(WordSource):
    """Draws pictures with their texts, every text equally likely, groups of equal lengths.

    Raises ConfigError for a folder without captions, or a picture that cannot be read.
    """

    def __init__(self, name: str, settings: SourceSettings) -> None:
        self.name, self.settings = name, settings
        height, width = settings.picture_size
        self.spec = TimestepSpec(images=(ImageField(FIELD, height, width),))
        self.tokenizer = TimestepTokenizer(self.spec)
        self._one = self.tokenizer.layout()
        found: dict[str, int] = {}
        cut: list[np.ndarray] = []
        self._texts: list[tuple[int, np.ndarray, np.ndarray]] = []  # picture, question, text
        self._alike: dict[tuple[int, int], list[int]] = {}  # lengths -> texts
        for folder in settings.pictures:
            for line in _lines(Path(folder) / FILE):
                file = str(Path(folder) / line['picture'])
                if file not in found:
                    found[file] = len(cut)
                    cut.append(patches(_read(file, height, width)))
                ask = self.tokenizer.sentence(line.get('ask', '')).ids
                text = self.tokenizer.sentence(line['text'], ended=True).ids
                self._alike.setdefault((len(ask), len(text)), []).append(len(self._texts))
                self._texts.append((found[file], ask, text))
        if not self._texts:
            raise ConfigError(f'{", ".join(settings.pictures)} hold no captions, expected lines '
                              f'in {FILE}')
        self._patches = torch.from_numpy(np.stack(cut))
        self._layouts: dict[tuple[int, int], SequenceLayout] = {}

    @property
    def timesteps(self) -> int:
        return len(self._texts)

    @property
    def longest_prompt(self) -> int:
        return max(len(ask) for _, ask, _ in self._texts)

    def draw(self, rng: np.random.Generator, size: int) -> list[Group]:
        """Return one group: a text drawn from all, and others of the same lengths.

        So every text is equally likely, though those of a batch are alike in length.
        """
        if not size:
            return []
        _, ask, text = self._texts[int(rng.integers(len(self._texts)))]
        lengths = len(ask), len(text)
        alike = self._alike[lengths]
        chosen = [self._texts[alike[i]] for i in rng.integers(len(alike), size=size)]
        head = np.full(len(self._one) - 1, -1, np.int64)
        ids = torch.from_numpy(np.stack([
            np.concatenate([head, self._separator(), ask, text])
            for _, ask, text in chosen]).astype(np.int64))
        picture = torch.tensor([number for number, _, _ in chosen])
        return [Group(ids, ids, self._patches[picture], torch.zeros((size, 0, 0)),
                      self._layout(*lengths), self.name)]

    def _separator(self) -> np.ndarray:
        return self._one.low[-1:].astype(np.int64)

    def _layout(self, ask: int, text: int) -> SequenceLayout:
        if (ask, text) not in self._layouts:
            words = [self.tokenizer.sentence_layout(length) for length in (ask, text) if length]
            self._layouts[ask, text] = sequence_layout([self._one, *words])
        return self._layouts[ask, text]


def _lines(file: Path) -> list[dict[str, str]]:
    """Read a captions' file; ConfigError names the line that is wrong."""
    if not file.is_file():
        raise ConfigError(f'{file} is not there, expected a line of JSON for each text')
    found = []
    for number, text in enumerate(file.read_text(encoding='utf-8').splitlines(), 1):
        try:
            line = json.loads(text)
            found.append({'picture': str(line['picture']), 'text': str(line['text']),
                          'ask': str(line.get('ask', ''))})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f'{file}, line {number}: expected {{"picture": FILE, "text": '
                              f'WORDS}}, found {text[:100]!r}') from error
    return found


def _read(file: str, height: int, width: int) -> np.ndarray:
    """Read a picture as uint8[height, width, 3], RGB."""
    picture = cv2.imread(file, cv2.IMREAD_COLOR)
    if picture is None:
        raise ConfigError(f'{file} is no picture that can be read, expected PNG or JPEG')
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)[..., ::-1].copy()
