"""Text to SentencePiece ids and back; 32,000 ids are reserved, the shipped model uses fewer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import sentencepiece

from gato_ros.config import ConfigError
from gato_ros.tokens.vocab import TEXT

DEFAULT_MODEL = Path(__file__).resolve().parent.parent / 'assets' / 'text.model'
HALF_A_LETTER = '\ufffd'  # what text ends with while bytes of its last letter are to come


class TextTokenizer:
    """A SentencePiece model of at most 32,000 pieces.

    Raises ConfigError when the file is missing, is no SentencePiece model or is too large.
    """

    def __init__(self, model: Path = DEFAULT_MODEL) -> None:
        try:
            self._pieces = sentencepiece.SentencePieceProcessor(model_file=str(model))
        except (OSError, RuntimeError) as error:
            raise ConfigError(f'{model} is not a readable SentencePiece model') from error
        self._model = model
        if self.size > TEXT[1]:
            raise ConfigError(f'{model} has {self.size} pieces, '
                              f'expected at most {TEXT[1]}')

    @property
    def size(self) -> int:
        """How many pieces there are: text has ids below."""
        return int(self._pieces.vocab_size())

    @property
    def end(self) -> int:
        """The id that says that a text is over."""
        return int(self._pieces.eos_id())

    @cached_property
    def hash(self) -> str:
        """Twelve hexadecimal digits that change with any byte of the model file."""
        return hashlib.sha256(self._model.read_bytes()).hexdigest()[:12]

    def encode(self, text: str) -> np.ndarray:
        """Return int32[n] ids; an empty text gives none, and half of a letter a question mark."""
        whole = text.encode('utf-8', 'replace').decode()
        return np.asarray(self._pieces.encode(whole), dtype=np.int32)

    def pieces(self, tokens: Iterable[int]) -> Iterator[str]:
        """Turn ids into pieces of text; a letter of several ids comes with its last one."""
        ids: list[int] = []
        text = told = ''
        for token in tokens:
            ids.append(token)
            text = self.decode(np.array(ids))
            if len(text) > len(told) and not text.endswith(HALF_A_LETTER):
                yield text[len(told):]
                told = text
        if len(text) > len(told):
            yield text[len(told):]

    def decode(self, ids: np.ndarray) -> str:
        """Return the text of ids; the end and ids beyond the model's pieces are left out."""
        return str(self._pieces.decode([int(i) for i in ids if 0 <= i < self.size]))


@lru_cache(maxsize=4)
def load_text(model: Path = DEFAULT_MODEL) -> TextTokenizer:
    """Return the tokenizer of a model file, read once in a process."""
    return TextTokenizer(model)
