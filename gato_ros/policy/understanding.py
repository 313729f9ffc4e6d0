"""What a sentence means, as the weights say it: the words that they are asked and answer in.

A checkpoint may know a domain in which it answers what people say with the one sentence that the
control was trained with, or with NOTHING.
"""

from __future__ import annotations

NOTHING = 'nothing that i can do'
LONGEST = 96  # tokens of a question: longer ones are not learnt, and not asked


def question(said: str) -> str:
    """Return what the weights are asked: capitals and spaces say nothing."""
    return 'do: ' + ' '.join(said.casefold().split())
