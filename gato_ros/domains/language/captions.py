"""The one sentence that says what a scene holds, so that a said caption is right or wrong."""

from __future__ import annotations

from collections.abc import Sequence

from gato_ros.domains.language.scene import Scene

HANDS = {'open': 'the hand is open', 'closed': 'the hand is closed'}


def caption(scene: Scene) -> str:
    """Return the caption; '' for a scene in which something is unclear.

    'from left to right a green block and a red block on a blue block; the hand is open'
    """
    stacks = scene.stacks
    if stacks is None or scene.grip is None:
        return ''
    towers = [' on '.join(f'a {colour} block' for colour in reversed(stack)) for stack in stacks]
    if not towers:
        blocks = 'an empty table'
    else:
        blocks = f'{"from left to right " if len(towers) > 1 else ""}{listed(towers)}'
    hand = f'the hand holds the {scene.held} block' if scene.held else HANDS[scene.grip]
    return f'{blocks}; {hand}'


def listed(words: Sequence[str]) -> str:
    """Return 'a', 'a and b', 'a, b and c'."""
    return ' and '.join(filter(None, [', '.join(words[:-1]), words[-1]])) if words else ''
