"""Train the SentencePiece model that ships in ``gato_ros/assets/text.model``.

    python -m gato_ros.tools.commands.text_model gato_ros/assets/text.model

The corpus is what every Python carries (its language reference and the library's docstrings) and
sentences about blocks and robots, so that anyone can repeat it without a download.
"""

from __future__ import annotations

import ast
import itertools
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import sentencepiece

PIECES = 8000
SENTENCES = ('{verb} the {a} block {where} the {b} block',
             'the {a} block lies {where} the {b} block',
             'the robot should {verb} the {a} cube {where} the {b} one, please')


def corpus() -> Iterator[str]:
    """Yield lines of text: sentences about blocks, the language reference, docstrings."""
    colours = ('red', 'green', 'blue', 'yellow', 'white', 'black')
    words = itertools.product(SENTENCES, ('stack', 'put', 'place', 'lift', 'push'), colours,
                              ('on', 'beside', 'left of', 'right of', 'behind'), colours)
    for sentence, verb, a, where, b in words:
        yield sentence.format(verb=verb, a=a, b=b, where=where)
    from pydoc_data.topics import topics
    for text in topics.values():
        yield from text.splitlines()
    for path in sorted(Path(sysconfig.get_paths()['stdlib']).glob('*.py')):
        tree = ast.parse(path.read_text(encoding='utf-8', errors='ignore'))
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                yield from (ast.get_docstring(node) or '').splitlines()


def train(target: Path) -> None:
    """Write a byte-fallback unigram model of 8,000 pieces to ``target``."""
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(line for line in corpus() if line.strip()),
        model_prefix=str(target.with_suffix('')), vocab_size=PIECES, model_type='unigram',
        byte_fallback=True, split_digits=True, character_coverage=0.9999,
        normalization_rule_name='identity', remove_extra_whitespaces=False,
        num_threads=1, minloglevel=2)
    target.with_suffix('.vocab').unlink()


if __name__ == '__main__':
    train(Path(sys.argv[1]))
