"""Commands as people say them, each with the one sentence that a policy is trained with, or none.

    rng = np.random.default_rng(1)
    word(rng)       # Wording('could you pop the navy cube onto the gren one?', 'stack the ...')
    elsewhere(rng)  # Wording('make me a cup of coffee', NOTHING)

Patterns and words of an evaluation (``held_out``) are never met in training. What could mean two
things, what names one block twice and what is only half said means nothing.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from gato_ros.config import ConfigError
from gato_ros.domains.language import elsewhere as other
from gato_ros.domains.language.commands import (
    COLOURS,
    ENGLISH,
    GERMAN,
    GERMAN_COLOURS,
    WORDS,
    Form,
    Split,
)
from gato_ros.domains.stacking.tasks import BLOCKS

NOTHING = ''
COUNT = {'stack': 2, 'tower': 3, 'lift': 1, 'reach': 1}  # of blocks that are named
KINDS = ('stack',) * 7 + ('tower', 'lift', 'reach')
GERMAN_SHARE, MISTYPED, ARTICLES_LOST, COMMAND_SHARE = 0.25, 0.3, 0.1, 0.65
PLAIN_SHARE = 0.15
KEYS = ('qwertyuiop', 'asdfghjkl', 'zxcvbnm')
ARTICLES = {'the', 'a', 'an', 'der', 'den', 'dem'}


@dataclass(frozen=True)
class Wording:
    """What is said and what it means: a canonical sentence, or NOTHING.

    new  what of it is held out: 'pattern' or 'word'; '' for all that training may meet
    """

    said: str
    meant: str
    new: str = ''


def sentence(kind: str, blocks: Sequence[str]) -> str:
    """Return the canonical sentence of a task: its blocks from the top down."""
    if kind in ('stack', 'tower'):
        return 'stack ' + ' on '.join(f'the {block} block' for block in blocks)
    return f'{"reach for" if kind == "reach" else "lift"} the {blocks[0]} block'


def draw(rng: np.random.Generator) -> Wording:
    """Return a wording for training: of a command, or of something that is none."""
    if rng.random() >= COMMAND_SHARE:
        return elsewhere(rng)
    wording = word(rng)
    if rng.random() < PLAIN_SHARE:  # what is meant as it stands: colours are learnt from it first
        return Wording(_written(rng, wording.meant), wording.meant)
    return wording


def word(rng: np.random.Generator, held_out: bool = False, meant: str = '') -> Wording:
    """Return a command in some wording: of the canonical sentence ``meant``, or of any.

    Raises ConfigError for a sentence that has no wordings.
    """
    if meant:
        kind, told = task_of(meant)
        others = [block for block in BLOCKS if block not in told]
        blocks = [*told, *(others[i] for i in rng.permutation(len(others)))]
    else:
        kind, blocks = _pick(rng, KINDS), [BLOCKS[i] for i in rng.permutation(len(BLOCKS))]
    said, new = _command(rng, kind, [_Block(name) for name in blocks], held_out)
    return Wording(_written(rng, said), sentence(kind, blocks[:COUNT[kind]]), new)


def task_of(meant: str) -> tuple[str, tuple[str, ...]]:
    """Return the kind of task of a canonical sentence, and its blocks from the top down.

    Raises ConfigError for a sentence that is none.
    """
    for kind, count in COUNT.items():
        for blocks in permutations(BLOCKS, count):
            if sentence(kind, blocks) == meant:
                return kind, blocks
    raise ConfigError(f'the sentence {meant!r} has no wordings, expected one of a task with '
                      'blocks, such as "stack the red block on the blue block"')


def elsewhere(rng: np.random.Generator, held_out: bool = False) -> Wording:
    """Return a sentence that is no command for the arm and its blocks."""
    ways: tuple[Callable[[np.random.Generator, bool], str], ...] = (
        _of_blocks, _of_blocks, _of_blocks, _of_others, _of_others, _of_the_world, _of_the_world,
        _nonsense)
    return Wording(_written(rng, _pick(rng, ways)(rng, held_out)), NOTHING,
                   'pattern' if held_out else '')


@dataclass(frozen=True)
class _Block:
    """What is spoken of: a block by its colour, one of another colour, or another thing."""

    colour: str = ''
    thing: str = ''

    def name(self, rng: np.random.Generator) -> str:
        return _pick(rng, COLOURS.get(self.colour, (self.colour,)))

    def english(self, rng: np.random.Generator, noun: str) -> str:
        if self.thing:
            return f'{_pick(rng, ("the", "the", "a", "my"))} {self.thing}'
        name = self.name(rng)
        return _pick(rng, (f'the {name} {noun}',) * 8 + (f'the {name} one', f'the {name} one',
                     f'{name} {noun}', f'the {name}', name, name, f'a {name} {noun}',
                     f'the {noun} that is {name}', f'the little {name} {noun}', f'{name} one',
                     f'the {name} coloured {noun}', f'the {noun} which is {name}'))

    def german(self, rng: np.random.Generator, noun: str, case: str) -> str:
        name = _pick(rng, GERMAN_COLOURS.get(self.colour, (self.colour or 'bunt',)))
        if not case:
            return name
        article = {'n': 'der', 'a': 'den', 'd': 'dem'}[case]
        if self.thing:
            return f'{article} {self.thing}'
        stem = 'orange' if name == 'orange' else name + ('e' if case == 'n' else 'en')
        return f'{article} {stem}' + (f' {noun}' if rng.random() < 0.75 else '')


class _Slots(Mapping[str, str]):
    """Fills a pattern's slots as they are asked for."""

    def __init__(self, rng: np.random.Generator, blocks: Sequence[_Block], new: bool) -> None:
        self._rng, self._new = rng, new
        self._blocks = dict(zip('abc', blocks, strict=False))
        self._noun = {'block': self._word('block'), 'klotz': self._word('klotz')}

    def __getitem__(self, key: str) -> str:
        head, _, tail = key.partition('_')
        if head == 'colour' or tail == 'name':
            return self._blocks[tail if head == 'colour' else head].name(self._rng)
        if head in self._blocks:
            block = self._blocks[head]
            if tail:
                return block.german(self._rng, self._noun['klotz'], tail)
            return block.english(self._rng, self._noun['block'])
        if key == 'block':
            return self._noun['block']
        if key in ('thing', 'thing2'):
            return _half(self._rng, other.THINGS, self._new)
        return self._word(key)

    def _word(self, key: str) -> str:
        return _half(self._rng, WORDS[key] if key in WORDS else other.FOR_WHAT[key], self._new)

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self._blocks)

    def __len__(self) -> int:
        return len(self._blocks)


class _German(_Slots):
    """Bare names of blocks are German, too."""

    def __getitem__(self, key: str) -> str:
        if key in self._blocks:
            return self._blocks[key].german(self._rng, '', '')
        return super().__getitem__(key)


def _command(rng: np.random.Generator, kind: str, blocks: Sequence[_Block], held_out: bool
             ) -> tuple[str, str]:
    """Return a command about blocks, and which part of it is held out."""
    german = rng.random() < GERMAN_SHARE
    form: Form = _pick(rng, GERMAN if german else ENGLISH)
    new = _pick(rng, ('pattern', 'word')) if held_out else ''
    pattern = _half(rng, form.patterns[kind], new == 'pattern')
    frame = _half(rng, form.frames, new == 'word')
    slots = (_German if german else _Slots)(rng, blocks, new == 'word')
    said = pattern.format_map(slots)
    if rng.random() < ARTICLES_LOST:
        said = ' '.join(w for w in said.split() if w not in ARTICLES)
    return frame.format(x=said), new


def _of_blocks(rng: np.random.Generator, held_out: bool) -> str:
    """Return something about the blocks that is none of the tasks."""
    blocks = [_Block(BLOCKS[i]) for i in rng.permutation(len(BLOCKS))]
    pattern = _half(rng, other.BLOCKS, held_out)
    german = any(f'{{{b}_{case}}}' in pattern for b in 'abc' for case in 'nad')
    return pattern.format_map((_German if german else _Slots)(rng, blocks, False))


def _of_others(rng: np.random.Generator, held_out: bool) -> str:
    """Return a command about another colour, another thing, or one block twice."""
    blocks = [_Block(BLOCKS[i]) for i in rng.permutation(len(BLOCKS))]
    kind = _pick(rng, KINDS)
    count = COUNT[kind]
    place = int(rng.integers(count))
    way = int(rng.integers(5))
    if way == 0 and count > 1:
        blocks[place] = blocks[(place + 1) % count]
    elif way < 3:
        blocks[place] = _Block(_half(rng, other.COLOURS, held_out))
    else:
        blocks[place] = _Block(thing=_half(rng, other.THINGS, held_out))
    if rng.random() < 0.2:
        blocks = [blocks[place]] * 3  # nothing of it is here
    return _command(rng, kind, blocks, False)[0]


def _of_the_world(rng: np.random.Generator, held_out: bool) -> str:
    """Return anything that people say elsewhere."""
    if rng.random() < 0.1:
        return _pick(rng, other.REAL[held_out])
    pattern = _half(rng, other.ELSEWHERE, held_out)
    said = pattern.format_map(_Slots(rng, (), held_out))
    return _pick(rng, ('{x}',) * 5 + ('please {x}', '{x} please', 'can you {x}?')).format(x=said)


def _nonsense(rng: np.random.Generator, held_out: bool) -> str:
    """Return letters, signs or words in any order: of this alphabet or another."""
    words = int(rng.integers(1, 6))
    if rng.random() < 0.5:
        low, high = _pick(rng, other.ALPHABETS[held_out])
        return ' '.join(''.join(chr(c) for c in rng.integers(low, high + 1, rng.integers(1, 6)))
                        for _ in range(words))
    if rng.random() < 0.5:
        return ' '.join(''.join(_pick(rng, string.ascii_lowercase)
                                for _ in range(rng.integers(1, 9))) for _ in range(words))
    known = [*BLOCKS, *other.THINGS[held_out], 'the', 'block', 'put', 'and', 'lift', 'stack', 'is']
    return ' '.join(_pick(rng, known) for _ in range(words)).replace(' on ', ' ')


def _written(rng: np.random.Generator, said: str) -> str:
    """Return a sentence as hands write it: capitals, signs at the end, typing errors."""
    if rng.random() < MISTYPED:
        for _ in range(rng.integers(1, 3)):
            said = _mistype(rng, said)
    if rng.random() < 0.15:
        said = said.replace(',', '')
    if not said.endswith('?') or rng.random() < 0.3:
        said = said.rstrip('?') + _pick(rng, ('',) * 5 + ('.', '.', '!', '!!', ' .', '...'))
    return _pick(rng, (str, str, str, str.capitalize, str.upper, str.title))(said)


def _mistype(rng: np.random.Generator, said: str) -> str:
    """Spoil one letter of a word of at least three: swapped, left out, doubled, the next key."""
    words = said.split(' ')
    long = [i for i, w in enumerate(words) if len(w) > 2 and w.isalpha() and w.isascii()]
    if not long:
        return said
    which = long[int(rng.integers(len(long)))]
    old = words[which]
    at, way = int(rng.integers(len(old) - 1)), int(rng.integers(4))
    row = next((keys for keys in KEYS if old[at] in keys), KEYS[0])
    near = row[(row.find(old[at]) + 1) % len(row)]
    words[which] = {0: old[:at] + old[at + 1] + old[at] + old[at + 2:],
                    1: old[:at] + old[at + 1:] if len(old) > 3 else old[:at] + old[at] + old[at:],
                    2: old[:at] + old[at] + old[at:],
                    3: old[:at] + near + old[at + 1:] if len(old) > 3 else old + old[-1]}[way]
    return ' '.join(words)


def _half(rng: np.random.Generator, split: Split, held_out: bool) -> str:
    return _pick(rng, split[held_out])


def _pick(rng: np.random.Generator, options):  # type: ignore[no-untyped-def]
    return options[int(rng.random() * len(options))]
