"""Train the SentencePiece model that ships in ``gato_ros/assets/text.model``, byte for byte.

    python -m gato_ros.tools.commands.text_model scripts/text_corpus.txt.xz \\
        gato_ros/assets/text.model

The corpus is a file, for what it was made of changes with every Python: sentences about blocks and
robots, then the language reference and the library's docstrings of Python 3.11.7, line by line
(scripts/text_corpus.LICENSE). SentencePiece 0.2.3 makes of it the shipped model; a model's bytes
hold the path that it was written to, so give it from the repository's root.
"""

from __future__ import annotations

import hashlib
import lzma
import sys
from pathlib import Path

import sentencepiece

from gato_ros.config import ConfigError

PIECES = 8000
CORPUS = '6ed7f91e234984bcdcf197177ca2af26cac0871d0643211adb7635709da6c05e'


def corpus(file: Path) -> list[str]:
    """Return the corpus's lines; ConfigError for a file that does not hold it."""
    try:
        text = lzma.decompress(file.read_bytes())
    except (OSError, lzma.LZMAError) as error:
        raise ConfigError(f'{file} cannot be read: {error}; expected '
                          'scripts/text_corpus.txt.xz') from error
    if (found := hashlib.sha256(text).hexdigest()) != CORPUS:
        raise ConfigError(f'{file} holds a text with the SHA-256 {found}, expected {CORPUS}: the '
                          'shipped weights rest on that one')
    return text.decode('utf-8').split('\n')


def train(lines: list[str], target: Path) -> None:
    """Write a byte-fallback unigram model of 8,000 pieces to ``target``."""
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_prefix=str(target.with_suffix('')),
        vocab_size=PIECES, model_type='unigram', byte_fallback=True, split_digits=True,
        character_coverage=0.9999, normalization_rule_name='identity',
        remove_extra_whitespaces=False, num_threads=1, minloglevel=2)
    target.with_suffix('.vocab').unlink()


if __name__ == '__main__':
    train(corpus(Path(sys.argv[1])), Path(sys.argv[2]))
