"""One timestep as tokens: the same code for training and for control.

    [ text | image patches in raster order | tensors in key order | separator | actions ]
      \\______________ observation: local positions 0, 1, 2 ... _/      |           |
                                                         no position    one shared position

The columns that do not depend on the values (:class:`Layout`) are made once; the ids and patches
of any number of timesteps come from one vectorised call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property, lru_cache

import numpy as np

from gato_ros.config import ConfigError
from gato_ros.spec import ContinuousField, DiscreteField, Observation, TimestepSpec
from gato_ros.tokens import continuous, images, vocab
from gato_ros.tokens.text import TextTokenizer, load_text

LOCAL_POSITIONS = 512  # size of the table of local observation positions (appendix C.3)
ACTION_POSITION = LOCAL_POSITIONS  # the one row that all action tokens share
NO_POSITION = LOCAL_POSITIONS + 1  # the separator's: a row that stays zero


class Kind(IntEnum):
    """What a token stands for."""

    TEXT = 0
    PATCH = 1
    DISCRETE = 2
    CONTINUOUS = 3
    SEPARATOR = 4
    ACTION = 5


@dataclass(frozen=True, eq=False)
class Layout:
    """The columns of one timestep that do not depend on its values.

    kind     uint8[K]     a Kind
    local    int32[K]     local position: index among the observation tokens, or a shared row
    target   bool[K]      true where the loss is taken: text and actions (paper, section 2.1)
    low,high int32[K]     the range of ids that a token may have
    rows, columns int32[P, 2]  interval of each patch's position in its image
    names    K names, for people
    """

    kind: np.ndarray
    local: np.ndarray
    target: np.ndarray
    low: np.ndarray
    high: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.kind)

    @cached_property
    def actions(self) -> int:
        """A: how many of the last tokens are actions."""
        return int((self.kind == Kind.ACTION).sum())

    @property
    def action_part(self) -> slice:
        """Where the actions stand: the last A columns, which may be none."""
        return slice(len(self) - self.actions, len(self))

    def part(self, start: int, length: int) -> Layout:
        """Return the columns of ``length`` tokens from ``start`` on."""
        stop = start + length
        before, within = (int((self.kind[a:b] == Kind.PATCH).sum())
                          for a, b in ((0, start), (start, stop)))
        patches = slice(before, before + within)
        return Layout(self.kind[start:stop], self.local[start:stop], self.target[start:stop],
                      self.low[start:stop], self.high[start:stop], self.rows[patches],
                      self.columns[patches], self.names[start:stop])


@dataclass(frozen=True, eq=False)
class TokenBlock:
    """Tokens of one timestep, or of many with the same layout.

    ids      int32[..., K], -1 where a patch stands
    patches  uint8[..., P, 16, 16, 3], in the order in which they stand among the tokens
    """

    ids: np.ndarray
    patches: np.ndarray
    layout: Layout

    def __len__(self) -> int:
        return len(self.layout)

    def part(self, start: int, length: int) -> TokenBlock:
        """Return ``length`` tokens of one timestep from ``start`` on, with their patches."""
        layout, before = self.layout.part(start, length), int((self.ids[:start] < 0).sum())
        return TokenBlock(self.ids[start:start + length],
                          self.patches[before:before + len(layout.rows)], layout)


Prompt = str | Sequence[TokenBlock]  # a sentence, or a demonstration


class TimestepTokenizer:
    """Tokenises the timesteps of one specification, and decodes its actions."""

    def __init__(self, spec: TimestepSpec, text: TextTokenizer | None = None) -> None:
        self.spec = spec
        self._text = text

    @property
    def text(self) -> TextTokenizer:
        """The text tokenizer, loaded when it is first needed."""
        if self._text is None:
            self._text = load_text()
        return self._text

    @lru_cache(maxsize=64)  # noqa: B019  one tokenizer lives as long as its process needs it
    def layout(self, text_tokens: int = 0) -> Layout:
        """Return the layout of a whole timestep that begins with ``text_tokens`` of text."""
        kinds: list[Kind] = [Kind.TEXT] * text_tokens
        ranges = [self.text_range()] * text_tokens if text_tokens else []
        names = [f'text[{i}]' for i in range(text_tokens)]
        rows, columns = [np.zeros((0, 2), np.int32)], [np.zeros((0, 2), np.int32)]
        for image in self.spec.images:
            row, column = images.intervals(image)
            rows.append(row)
            columns.append(column)
            kinds += [Kind.PATCH] * len(row)
            ranges += [(vocab.NO_ID, vocab.NO_ID)] * len(row)
            names += [f'{image.name}[{i}]' for i in range(len(row))]
        for field in self.spec.tensors:
            is_real = isinstance(field, ContinuousField)
            kinds += [Kind.CONTINUOUS if is_real else Kind.DISCRETE] * field.size
            ranges += [_range(field)] * field.size
            names += [f'{field.name}.{n}' for n in field.names]
        local = [*range(len(kinds)), NO_POSITION] + [ACTION_POSITION] * self.spec.action_size
        if len(kinds) > LOCAL_POSITIONS:
            raise ConfigError(f'a timestep has {len(kinds)} observation tokens, expected at most '
                              f'{LOCAL_POSITIONS}: give the cameras fewer pixels (height and '
                              "width in the robot's YAML file), or shorten the text")
        kinds.append(Kind.SEPARATOR)
        ranges.append((vocab.SEPARATOR, vocab.SEPARATOR + 1))
        names.append('separator')
        for field in self.spec.actions:
            kinds += [Kind.ACTION] * field.size
            ranges += [_range(field)] * field.size
            names += [f'{field.name}.{n}' for n in field.names]
        kind = np.array(kinds, np.uint8)
        limits = np.array(ranges, np.int32)
        return Layout(kind, np.array(local, np.int32),
                      (kind == Kind.TEXT) | (kind == Kind.ACTION), limits[:, 0], limits[:, 1],
                      np.concatenate(rows), np.concatenate(columns), tuple(names))

    @lru_cache(maxsize=64)  # noqa: B019
    def observation_layout(self, text_tokens: int = 0) -> Layout:
        """Return the layout of an observation alone, up to and with the separator."""
        whole = self.layout(text_tokens)
        return whole.part(0, len(whole) - whole.actions)

    def encode(self, pictures: Mapping[str, np.ndarray], tensors: Mapping[str, np.ndarray],
               actions: Mapping[str, np.ndarray] | None = None, text: str = '') -> TokenBlock:
        """Tokenise timesteps given as arrays with equal leading dimensions.

        pictures  name -> uint8[..., H, W, 3];  tensors, actions  name -> [..., n]
        Without actions the block ends with the separator.

        Raises ValueError for a missing field, a wrong shape or a value that is not allowed.
        """
        words = self.text.encode(text) if text else np.zeros(0, np.int32)
        cut = [images.patches(_checked(pictures, f.name, (f.height, f.width, 3)))
               for f in self.spec.images]
        parts = [_encode(f, tensors) for f in self.spec.tensors]
        acted = [self.encode_action(actions)] if actions and self.spec.actions else []
        lead = next(iter([*(c.shape[:-4] for c in cut), *(p.shape[:-1] for p in parts + acted)]),
                    ())
        stacked = (np.concatenate(cut, axis=-4) if cut
                   else np.zeros((*lead, 0, 16, 16, 3), np.uint8))
        layout = self.layout(len(words))
        parts = [np.broadcast_to(words, (*lead, len(words))),
                 np.full((*lead, stacked.shape[-4]), vocab.NO_ID, np.int32), *parts,
                 np.full((*lead, 1), vocab.SEPARATOR, np.int32)]
        if actions is None:
            layout = self.observation_layout(len(words))
        return TokenBlock(np.concatenate([*parts, *acted], axis=-1), stacked, layout)

    def observe(self, observation: Observation) -> TokenBlock:
        """Tokenise one live observation, up to and with the separator."""
        return self.encode(observation.images, observation.proprioception, text=observation.text)

    def sentence(self, text: str, ended: bool = False) -> TokenBlock:
        """Tokenise a sentence that stands alone, as a prompt or as a document.

        ended  whether the mark of the end follows, as where a policy is to say it
        """
        ids = self.text.encode(text)[:LOCAL_POSITIONS - ended]
        if ended:
            ids = np.append(ids, np.int32(self.text.end))
        return TokenBlock(ids, np.zeros((0, 16, 16, 3), np.uint8), self.sentence_layout(len(ids)))

    def asked(self, text: str) -> list[TokenBlock]:
        """Return the block of a question, if there is one; ValueError where it is too long."""
        block, length = self.sentence(text), len(self.text.encode(text))
        if length > len(block):
            raise ValueError(f'a prompt of {length} tokens was given, expected at most '
                             f'{len(block)}: say it in parts')
        return [block] if length else []

    def sentence_layout(self, count: int, said: bool = True) -> Layout:
        """Return the layout of a sentence of ``count`` tokens; one that is only heard has no loss.
        """
        none = np.zeros((0, 2), np.int32)
        low, high = self.text_range()
        return Layout(np.full(count, Kind.TEXT, np.uint8), np.arange(count, dtype=np.int32),
                      np.full(count, said), np.full(count, low, np.int32),
                      np.full(count, high, np.int32), none, none,
                      tuple(f'text[{i}]' for i in range(count)))

    def text_range(self) -> tuple[int, int]:
        """Return the ids that the text model has, of the 32,000 that are reserved for text."""
        return vocab.TEXT[0], self.text.size

    def encode_action(self, actions: Mapping[str, np.ndarray]) -> np.ndarray:
        """Turn action values, name -> [..., n], into int32[..., A]."""
        if not self.spec.actions:
            return np.zeros(0, np.int32)
        return np.concatenate([_encode(f, actions) for f in self.spec.actions], axis=-1)

    def decode_action(self, ids: np.ndarray) -> dict[str, np.ndarray]:
        """Turn int[..., A] into values, name -> [..., n]: bin centres in the field's unit."""
        values, start = {}, 0
        for field in self.spec.actions:
            part = np.asarray(ids)[..., start:start + field.size]
            start += field.size
            values[field.name] = (continuous.decode_field(field, part)
                                  if isinstance(field, ContinuousField)
                                  else part.astype(np.int64))
        return values


def _range(field: ContinuousField | DiscreteField) -> tuple[int, int]:
    return vocab.CONTINUOUS if isinstance(field, ContinuousField) else (0, field.count)


def _checked(values: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...]) -> np.ndarray:
    if name not in values:
        raise ValueError(f'{name!r} is missing; given: {", ".join(values) or "nothing"}')
    array = np.asarray(values[name])
    if array.shape[array.ndim - len(shape):] != shape:
        raise ValueError(f'{name!r} has shape {array.shape}, expected [..., '
                         f'{", ".join(map(str, shape))}] as the specification says')
    return array


def _encode(field: ContinuousField | DiscreteField,
            values: Mapping[str, np.ndarray]) -> np.ndarray:
    array = _checked(values, field.name, (field.size,))
    if isinstance(field, ContinuousField):
        try:
            return continuous.encode_field(field, array)
        except ValueError as error:
            raise ValueError(f'{field.name!r}: {error}') from error
    whole = array.astype(np.int32)
    if (whole < 0).any() or (whole >= field.count).any():
        raise ValueError(f'{field.name!r} holds {array.min()} to {array.max()}, expected whole '
                         f'numbers in [0, {field.count})')
    return whole
