"""Questions about a scene, with the one right answer; what its pictures leave open is not asked.

    ask(scene, rng)   ->   [Asked('on', 'what is on the blue block?', 'the red block'), ...]

Left and right are the front picture's, unless the question names the robot. Each kind of question
has several wordings, and others that serve evaluation alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from gato_ros.domains.language.captions import caption, listed
from gato_ros.domains.language.scene import ASIDE, HAND, TABLE, Scene
from gato_ros.domains.stacking.tasks import BLOCKS

ABSENT = ('yellow', 'white', 'orange', 'purple')  # colours that no block here has
NUMBERS = ('none', 'one', 'two', 'three')
NEARER, DEEPER, LEFTER = 0.03, 0.045, 0.03  # m of difference that a picture shows
NOTHING = 'nothing'

Cases = Iterable[tuple[dict[str, str], str]]  # what stands in a question's gaps, and its answer


@dataclass(frozen=True)
class Asked:
    """A question of a kind, and the right answer."""

    kind: str
    question: str
    answer: str


@dataclass(frozen=True)
class Kind:
    """Wordings with gaps, some of them held out of training, and the cases of a scene."""

    wordings: tuple[str, ...]
    held_out: tuple[str, ...]
    cases: Callable[[Scene], Cases]


def ask(scene: Scene, rng: np.random.Generator, count: int, held_out: bool = False
        ) -> list[Asked]:
    """Return at most ``count`` questions, each of another kind; answers of a kind are balanced.

    held_out  in wordings that the training never uses
    """
    asked: list[Asked] = []
    for name in rng.permutation(list(KINDS)):
        kind = KINDS[name]
        cases = list(kind.cases(scene))
        if not cases or len(asked) == count:
            continue
        answers = sorted({answer for _, answer in cases})
        answer = answers[rng.integers(len(answers))]
        alike = [gaps for gaps, found in cases if found == answer]
        gaps = alike[rng.integers(len(alike))]
        wordings = kind.held_out if held_out else kind.wordings
        question = wordings[rng.integers(len(wordings))].format(**gaps)
        asked.append(Asked(str(name), question if held_out else _spoken(question, rng), answer))
    return asked


def _spoken(question: str, rng: np.random.Generator) -> str:
    """Return a question as people type it: at times with a capital, or without its mark."""
    if rng.random() < 0.25:
        question = question[0].upper() + question[1:]
    return question.rstrip('?') if rng.random() < 0.2 else question


def _the(colours: Iterable[str]) -> str:
    """Return 'the red block and the blue block', in the blocks' fixed order; or 'nothing'."""
    some = set(colours)
    return listed([f'the {colour} block' for colour in BLOCKS if colour in some]) or NOTHING


def _there(scene: Scene) -> Cases:
    whole = scene.seen == set(scene.blocks)
    yield from (({'a': colour}, 'yes') for colour in BLOCKS if colour in scene.seen)
    if whole:
        yield from (({'a': colour}, 'no') for colour in (*BLOCKS, *ABSENT)
                    if colour not in scene.blocks)


def _count(scene: Scene) -> Cases:
    if scene.seen == set(scene.blocks):
        yield {}, NUMBERS[len(scene.blocks)]


def _colours(scene: Scene) -> Cases:
    if scene.seen == set(scene.blocks) and scene.blocks:
        yield {}, listed([colour for colour in BLOCKS if colour in scene.blocks])


def _on_table(scene: Scene) -> Cases:
    if scene.clear:
        yield {}, NUMBERS[sum(below == TABLE for below in scene.support.values())]


def _on(scene: Scene) -> Cases:
    if scene.clear:
        yield from (({'a': colour}, _the([scene.upon(colour)])) for colour in scene.blocks)


def _under(scene: Scene) -> Cases:
    if scene.clear:
        for colour, below in scene.support.items():
            if below != HAND:
                yield {'a': colour}, 'the table' if below == TABLE else f'the {below} block'


def _is_on(scene: Scene) -> Cases:
    if scene.clear:
        for a, b in permutations(scene.blocks, 2):
            if scene.upon(scene.upon(b)) != a:  # is the third of a tower on the first?
                yield {'a': a, 'b': b}, 'yes' if scene.support[a] == b else 'no'


def _top(scene: Scene) -> Cases:
    stacks = scene.stacks
    high = [stack for stack in stacks or () if len(stack) > 1]
    if len(high) == 1:
        yield {}, high[0][-1]


def _height(scene: Scene) -> Cases:
    stacks = scene.stacks
    if stacks:
        yield {}, NUMBERS[max(map(len, stacks))]


def _left(scene: Scene, sign: float = 1.0) -> Cases:
    """Yes and no about pairs."""
    for a, b in permutations(sorted(scene.seen), 2):
        apart = sign * (scene.column[b] - scene.column[a])
        if abs(apart) >= ASIDE:
            yield {'a': a, 'b': b}, 'yes' if apart > 0 else 'no'


def _right(scene: Scene) -> Cases:
    return _left(scene, -1.0)


def _beside(scene: Scene, sign: float = 1.0) -> Cases:
    """All that is left of a block."""
    if scene.seen == set(scene.blocks):
        for a in scene.blocks:
            apart = {b: sign * (scene.column[a] - scene.column[b]) for b in scene.blocks if b != a}
            if all(abs(gap) >= ASIDE for gap in apart.values()):
                yield {'a': a}, _the(b for b, gap in apart.items() if gap > 0)


def _beside_right(scene: Scene) -> Cases:
    return _beside(scene, -1.0)


def _extreme(scene: Scene, place: dict[str, float], margin: float) -> Cases:
    """The block whose place is the lowest, where it is so by a margin."""
    order = sorted(place, key=lambda colour: place[colour])
    if scene.seen == set(scene.blocks) and len(order) > 1 \
            and place[order[1]] - place[order[0]] >= margin:
        yield {}, f'the {order[0]} block'


def _leftmost(scene: Scene) -> Cases:
    return _extreme(scene, dict(scene.column), ASIDE)


def _rightmost(scene: Scene) -> Cases:
    return _extreme(scene, {c: -x for c, x in scene.column.items()}, ASIDE)


def _robots_left(scene: Scene) -> Cases:
    return _extreme(scene, {c: -place[1] for c, place in scene.blocks.items()}, LEFTER)


def _robots_right(scene: Scene) -> Cases:
    return _extreme(scene, {c: place[1] for c, place in scene.blocks.items()}, LEFTER)


def _in_front(scene: Scene) -> Cases:
    """Nearer to the camera, which looks towards the robot."""
    for a, b in permutations(sorted(scene.seen), 2):
        nearer = scene.blocks[a][0] - scene.blocks[b][0]
        if abs(nearer) >= DEEPER and HAND not in (scene.support[a], scene.support[b]):
            yield {'a': a, 'b': b}, 'yes' if nearer > 0 else 'no'


def _nearest_camera(scene: Scene) -> Cases:
    if scene.clear and not scene.held:
        return _extreme(scene, {c: -place[0] for c, place in scene.blocks.items()}, DEEPER)
    return ()


def _nearest(scene: Scene) -> Cases:
    if scene.clear and len(scene.blocks) == 3 and HAND not in scene.support.values():
        for a in scene.blocks:
            others = {b: float(np.linalg.norm(scene.blocks[a] - scene.blocks[b]))
                      for b in scene.blocks if b != a}
            for _, answer in _extreme(scene, others, NEARER):
                yield {'a': a}, answer


def _held(scene: Scene) -> Cases:
    if scene.grip is not None and (not scene.held or scene.held in scene.seen):
        yield {}, _the([scene.held])


def _holds(scene: Scene) -> Cases:
    if scene.grip is not None and (not scene.held or scene.held in scene.seen):
        yield from (({'a': colour}, 'yes' if colour == scene.held else 'no') for colour in BLOCKS)


def _hand_open(scene: Scene) -> Cases:
    if scene.grip is not None:
        yield {}, 'yes' if scene.grip == 'open' else 'no'


def _hand_near(scene: Scene) -> Cases:
    if not scene.held:
        return _extreme(scene, {c: float(np.linalg.norm(place - scene.hand))
                                for c, place in scene.blocks.items()}, 1.5 * NEARER)
    return ()


def doing(scene: Scene) -> str:
    """Return what the arm is doing, as far as a picture tells; '' where it is between two."""
    held, support = scene.held, scene.support
    if scene.seen != set(scene.blocks) or not scene.blocks or scene.grip is None:
        return ''
    if held:
        return _carrying(scene)
    gaps = {c: float(np.linalg.norm(place - scene.hand)) for c, place in scene.blocks.items()}
    near = min(gaps, key=lambda c: gaps[c])
    if gaps[near] < 0.025 and support[near] is not None:
        return f'letting go of the {near} block' if support[near] != TABLE \
            else f'grasping the {near} block'
    if gaps[near] < 0.07 or None in support.values():
        return ''
    stacked = any(below not in (TABLE, HAND) for below in support.values())
    if not stacked:
        return 'reaching for a block'
    return 'nothing, it is done' if scene.done else ''


def _carrying(scene: Scene) -> str:
    held = scene.held
    block = scene.blocks[held]
    if scene.support[held] != HAND:
        return f'grasping the {held} block' if block[2] < 0.03 else ''
    for other, place in scene.blocks.items():
        aside = float(np.linalg.norm((block - place)[:2]))
        if other != held and aside < 0.06:
            over = aside < 0.02 and block[2] - place[2] < 0.08 and not scene.upon(other)
            return f'placing the {held} block on the {other} block' if over else ''
    if block[2] < 0.05:
        return f'lifting the {held} block'
    return f'carrying the {held} block' if block[2] > 0.065 else ''


def _doing(scene: Scene) -> Cases:
    answer = doing(scene)
    if answer:
        yield {}, answer


def _describe(scene: Scene) -> Cases:
    answer = caption(scene)
    if answer:
        yield {}, answer


KINDS = {
    'there': Kind(
        ('is there a {a} block?', 'do you see a {a} block?', 'can you see a {a} cube?',
         'is a {a} block on the picture?'),
        ('does the picture show a {a} block?', 'is any of the blocks {a}?'), _there),
    'count': Kind(
        ('how many blocks are there?', 'how many blocks do you see?', 'count the blocks.',
         'how many cubes are there?'),
        ('what is the number of blocks?', 'how many blocks can be seen?'), _count),
    'colours': Kind(
        ('which blocks are there?', 'what colours do the blocks have?',
         'which blocks do you see?', 'name the colours of the blocks.'),
        ('what colours are the blocks?', 'which coloured blocks are here?'), _colours),
    'on_table': Kind(
        ('how many blocks stand on the table?', 'how many blocks are on the table?',
         'how many cubes touch the table?'),
        ('how many of the blocks touch the table?',), _on_table),
    'on': Kind(
        ('what is on the {a} block?', 'what stands on the {a} block?',
         'what is on top of the {a} block?', 'which block is on the {a} one?'),
        ('what do you see on top of the {a} cube?', 'what rests on the {a} block?'), _on),
    'under': Kind(
        ('what is under the {a} block?', 'what does the {a} block stand on?',
         'what is below the {a} block?'),
        ('what is the {a} block standing on?', 'where does the {a} block rest?'), _under),
    'is_on': Kind(
        ('is the {a} block on the {b} block?', 'is the {a} block on top of the {b} block?',
         'does the {a} block stand on the {b} one?'),
        ('does the {a} cube stand on the {b} cube?',), _is_on),
    'top': Kind(
        ('what colour is the block on top of the stack?', 'which colour is at the top?',
         'what colour is the top block?'),
        ('what colour is the highest block of the stack?',), _top),
    'height': Kind(
        ('how high is the highest stack?', 'how many blocks has the highest stack?',
         'how many blocks high is the tower?'),
        ('how many blocks are stacked at most?',), _height),
    'left': Kind(
        ('is the {a} block left of the {b} block?', 'is the {a} one to the left of the {b} one?',
         'is the {a} block on the left of the {b} block?'),
        ('does the {a} block stand to the left of the {b} block?',), _left),
    'right': Kind(
        ('is the {a} block right of the {b} block?',
         'is the {a} one to the right of the {b} one?',
         'is the {a} block on the right of the {b} block?'),
        ('does the {a} block stand to the right of the {b} block?',), _right),
    'beside_left': Kind(
        ('what is left of the {a} block?', 'what is to the left of the {a} block?',
         'which blocks are left of the {a} one?'),
        ('what do you see to the left of the {a} block?',), _beside),
    'beside_right': Kind(
        ('what is right of the {a} block?', 'what is to the right of the {a} block?',
         'which blocks are right of the {a} one?'),
        ('what do you see to the right of the {a} block?',), _beside_right),
    'leftmost': Kind(
        ('which block is farthest left?', 'what is the leftmost block?',
         'which block is on the left?'),
        ('which of the blocks is the leftmost?',), _leftmost),
    'rightmost': Kind(
        ('which block is farthest right?', 'what is the rightmost block?',
         'which block is on the right?'),
        ('which of the blocks is the rightmost?',), _rightmost),
    'robots_left': Kind(
        ('which block is farthest left for the robot?',
         'seen from the robot, which block is on the left?'),
        ('seen by the robot, what is the leftmost block?',), _robots_left),
    'robots_right': Kind(
        ('which block is farthest right for the robot?',
         'seen from the robot, which block is on the right?'),
        ('seen by the robot, what is the rightmost block?',), _robots_right),
    'in_front': Kind(
        ('is the {a} block in front of the {b} block?',
         'is the {a} block nearer to the camera than the {b} block?',
         'is the {b} block behind the {a} block?'),
        ('does the {a} block stand in front of the {b} block?',), _in_front),
    'nearest_camera': Kind(
        ('which block is nearest to the camera?', 'which block is closest to the camera?',
         'what is the block in front?'),
        ('which of the blocks is nearest to the camera?',), _nearest_camera),
    'nearest': Kind(
        ('which block is nearest to the {a} block?', 'what is nearest to the {a} block?',
         'which block is closest to the {a} one?'),
        ('what is the nearest block to the {a} block?',), _nearest),
    'held': Kind(
        ('what does the hand hold?', 'what is in the hand?', 'what does the gripper hold?',
         'what are you holding?'),
        ('what is the hand holding?', 'what has the gripper got?'), _held),
    'holds': Kind(
        ('does the hand hold the {a} block?', 'is the {a} block in the hand?',
         'are you holding the {a} block?'),
        ('is the gripper holding the {a} block?',), _holds),
    'hand_open': Kind(
        ('is the hand open?', 'is the gripper open?', 'are the fingers open?'),
        ('are the fingers of the hand open?', 'do you see an open hand?'), _hand_open),
    'hand_near': Kind(
        ('which block is nearest to the hand?', 'which block is the hand nearest to?',
         'which block is closest to the gripper?'),
        ('what block is the hand closest to?',), _hand_near),
    'doing': Kind(
        ('what is the arm doing?', 'what are you doing?', 'what is the robot doing?',
         'what is happening?'),
        ('what is the robot arm doing now?', 'what are you doing now?'), _doing),
    'describe': Kind(
        ('what do you see?', 'describe the picture.', 'describe the scene.',
         'what is on the table?'),
        ('what is in the picture?', 'what can you see?'), _describe),
}
