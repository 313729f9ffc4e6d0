"""What a sentence means, as the weights say it: one of those that the control was trained with.

    policy.reset('could you pop the navy cube onto the gren one?')
    policy.understood    # 'stack the blue block on the green block', which is what is pinned
    policy.reset('make me a cup of coffee')
    policy.refusal       # "I do not understand: 'make me a cup of coffee'"; act() refuses

They are asked in a context of their own, of a domain in which they have learnt to answer what
people say (training/data/wordings.py). A sentence that the control knows costs nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Protocol

from gato_ros.tokens.sequence import TimestepTokenizer

NOTHING = 'nothing that i can do'
LONGEST = 96  # tokens of a question: longer ones are not learnt, and not asked
ANSWER = 32  # tokens of an answer at most
SHOWN = 80  # letters of what was not understood


class Listener(Protocol):
    """A policy in the domain of wordings; ``sentences``: all that it has learnt to answer."""

    tokenizer: TimestepTokenizer
    sentences: tuple[str, ...]

    def reset(self) -> None: ...
    def say(self, prompt: str, temperature: float = 0.0,
            longest: int | None = None) -> Iterator[str]: ...


def question(said: str) -> str:
    """Return what the weights are asked: capitals and spaces say nothing."""
    return f'do: {_plain(said)}'


def understand(said: str, known: Collection[str], listener: Listener) -> tuple[str, str]:
    """Return the known sentence that this one means, and ''; or '' and why there is none."""
    if said in known:
        return said, ''
    if (plain := _plain(said)) in known:
        return plain, ''
    asked, meant = question(said), ''
    if len(listener.tokenizer.text.encode(asked)) <= LONGEST:
        listener.reset()
        meant = ''.join(listener.say(asked, longest=ANSWER)).strip()
    if meant in known:
        return meant, ''
    short = said if len(said) <= SHOWN else f'{said[:SHOWN]}...'
    if meant in listener.sentences:
        return '', f'I understand {short!r} as {meant!r}, which I have not learnt'
    return '', f'I do not understand: {short!r}'


def _plain(said: str) -> str:
    return ' '.join(said.casefold().split())
