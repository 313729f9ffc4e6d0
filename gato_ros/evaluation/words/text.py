"""Bits per byte of text that nobody was trained on: the policy's, and a 5-gram model's."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from gato_ros.config import ConfigError
from gato_ros.evaluation.words.ngram import NGram
from gato_ros.model.layout import Part, sequence_layout
from gato_ros.policy.checkpoint import Checkpoint
from gato_ros.spec import TimestepSpec
from gato_ros.tokens.sequence import LOCAL_POSITIONS, TimestepTokenizer

Exchange = tuple[str, str]


@dataclass(frozen=True)
class BitsPerByte:
    """Of ``bytes`` bytes in ``texts`` texts: the policy's and the 5-gram model's."""

    texts: int
    bytes: int
    policy: float
    ngram: float


def of_exchanges(checkpoint: Checkpoint, learnt: Iterable[Exchange], held_out: Sequence[Exchange]
                 ) -> BitsPerByte:
    """Judge answers, each behind its question; the 5-gram model learns from ``learnt``."""
    pieces = TimestepTokenizer(TimestepSpec())

    def blocks(exchange: Exchange) -> list[np.ndarray]:
        return [pieces.sentence(text).ids for text in exchange]
    return _judge(checkpoint, pieces, map(blocks, learnt), [blocks(pair) for pair in held_out])


def of_documents(checkpoint: Checkpoint, learnt: Sequence[str], held_out: Sequence[str]
                 ) -> BitsPerByte:
    """Judge the files of patterns, in pieces of 512 tokens but for the first of each.

    learnt  patterns of what the 5-gram model learns from: what the policy was trained on

    Raises ConfigError where no text is found, or a file is on both sides.
    """
    theirs, ours = (_files(patterns) for patterns in (learnt, held_out))
    both = set(theirs) & set(ours)
    if both:
        raise ConfigError(f'{min(both)} is learnt from and judged by, expected one of it')
    pieces = TimestepTokenizer(TimestepSpec())
    return _judge(checkpoint, pieces, ([ids] for ids in _ids(pieces, theirs)),
                  [[ids[start:start + LOCAL_POSITIONS]] for ids in _ids(pieces, ours)
                   for start in range(0, len(ids), LOCAL_POSITIONS)])


def _files(patterns: Sequence[str]) -> list[str]:
    return sorted({file for pattern in patterns for file in glob.glob(pattern)})


def _ids(pieces: TimestepTokenizer, files: Sequence[str]) -> Iterator[np.ndarray]:
    for file in files:
        yield pieces.text.encode(Path(file).read_text(encoding='utf-8', errors='replace').strip())


def _judge(checkpoint: Checkpoint, pieces: TimestepTokenizer,
           learnt: Iterable[Sequence[np.ndarray]], held_out: Sequence[Sequence[np.ndarray]]
           ) -> BitsPerByte:
    """Judge the last block of each sequence; the very first token has nothing before it."""
    counted = NGram((np.concatenate(blocks) for blocks in learnt), pieces.text.size)
    policy = ngram = 0.0
    size = 0
    for blocks in held_out:
        ids, last = np.concatenate(blocks), blocks[-1]
        start = max(1, len(ids) - len(last))
        ngram += counted.bits(ids, start)
        policy += _bits(checkpoint, pieces, blocks, start)
        for sign, part in ((1, last), (-1, last[:start - len(ids) + len(last)])):
            size += sign * len(pieces.text.decode(part).encode())
    if not size:
        raise ConfigError('no held-out text was found, expected some')
    return BitsPerByte(len(held_out), size, policy / size, ngram / size)


@torch.inference_mode()
def _bits(checkpoint: Checkpoint, pieces: TimestepTokenizer, blocks: Sequence[np.ndarray],
          start: int) -> float:
    """Return the policy's bits of all tokens from ``start`` on, as in training."""
    model = checkpoint.model
    layout = sequence_layout([pieces.sentence_layout(len(ids)) for ids in blocks if len(ids)],
                             device=model.device)
    ids = torch.from_numpy(np.concatenate(blocks)).long().to(model.device)
    nothing = torch.zeros((1, 0, 16, 16, 3), dtype=torch.uint8, device=model.device)
    wanted = torch.arange(start - 1, len(ids) - 1, device=model.device)
    whole = Part(ids[None], nothing, layout, layout.causal_mask(), wanted)
    hidden = model.run([whole])[0][0]
    chances = model.logits(hidden, *pieces.text_range()).float().log_softmax(-1)
    return float(-chances.gather(-1, ids[start:, None]).sum() / np.log(2))
