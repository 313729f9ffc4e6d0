"""Commands as people say them: what they mean, what means nothing, what is kept for evaluation."""

from __future__ import annotations

import re

import numpy as np
import pytest

from gato_ros.config import ConfigError
from gato_ros.domains.language import commands, elsewhere
from gato_ros.domains.language.wordings import NOTHING, Wording, draw, sentence, word
from gato_ros.domains.language.wordings import elsewhere as say_elsewhere
from gato_ros.domains.stacking.tasks import load_task, task_names

CANONICAL = {load_task(name).sentence for name in task_names()
             if not name.startswith('stack_any_pair')}
NAMED = {colour: {*commands.COLOURS[colour], *commands.GERMAN_COLOURS[colour]}
         for colour in commands.COLOURS}


def many(make, count: int = 2000, **kinds) -> list[Wording]:
    rng = np.random.default_rng(3)
    return [make(rng, **kinds) for _ in range(count)]


def test_the_meanings_are_the_sentences_that_the_tasks_are_trained_with() -> None:
    meant = {wording.meant for wording in many(word)}
    assert meant >= CANONICAL
    # A tower may be asked for in any order; the tasks know one.
    assert {one for one in meant - CANONICAL if one.count(' on ') != 2} == set()
    assert sentence('tower', ('red', 'blue', 'green')) == load_task('tower_wide').sentence


def test_the_same_draw_is_the_same_wording() -> None:
    assert many(draw, 50) == many(draw, 50)


@pytest.mark.parametrize('meant', sorted(CANONICAL))
def test_a_task_is_told_in_other_words(meant: str) -> None:
    told = many(word, 20, held_out=True, meant=meant)
    assert {wording.meant for wording in told} == {meant}
    assert len({wording.said for wording in told} - {meant}) > 15


def test_another_sentence_has_no_other_words() -> None:
    with pytest.raises(ConfigError, match=r"^the sentence 'walk to the flag' has no wordings"):
        word(np.random.default_rng(0), meant='walk to the flag')


def test_a_pair_is_never_named_the_wrong_way_round() -> None:
    """In "put A onto B" upper and lower stand as in the meaning, whatever stands around it."""
    plain = re.compile(
        r'(\w+)(?: block| cube| one)? (?:onto|atop|oben auf|on top of) (?:the )?(\w+)')
    checked = 0
    for wording in many(word, 4000):
        said = wording.said.casefold() * (wording.meant.count(' on ') == 1)  # no tower
        for upper, lower in plain.findall(said):
            pair = tuple(next((colour for colour, names in NAMED.items() if one in names), '')
                         for one in (upper, lower))
            if all(pair):
                checked += 1
                assert wording.meant == sentence('stack', pair), wording
    assert checked > 30


def test_what_is_held_out_is_never_met_in_training() -> None:
    trained = ' | '.join(wording.said.casefold() for wording in many(draw, 4000))
    for held in (*commands.WORDS['put'][1], *commands.WORDS['klotz'][1], 'beige', 'magenta',
                 'needs the', 'favour', 'polish', 'obendrauf', 'สวัสดี', 'porridge'):
        assert held not in trained
    for form in (*commands.ENGLISH, *commands.GERMAN):
        for kind, (training, held_out) in form.patterns.items():
            assert held_out and not set(training) & set(held_out), kind
    assert not set(elsewhere.BLOCKS[0]) & set(elsewhere.BLOCKS[1])
    assert not set(elsewhere.ELSEWHERE[0]) & set(elsewhere.ELSEWHERE[1])


def test_held_out_wordings_are_new_by_pattern_or_by_word() -> None:
    assert {wording.new for wording in many(word, 100, held_out=True)} == {'pattern', 'word'}
    assert {wording.new for wording in many(draw, 100)} == {''}


@pytest.mark.parametrize('held_out', [False, True])
def test_what_is_no_command_means_nothing(held_out: bool) -> None:
    said = many(say_elsewhere, held_out=held_out)
    assert {wording.meant for wording in said} == {NOTHING}
    assert len({wording.said for wording in said}) > 1500, 'it is hardly ever the same'
    texts = ' '.join(wording.said for wording in said)
    assert any(not ('\u0000' <= letter <= '\u024f') for letter in texts), 'other alphabets'


def test_nothing_is_said_that_also_means_something() -> None:
    something = {wording.said.casefold() for wording in many(word, 8000)}
    nothing = {wording.said.casefold() for wording in many(say_elsewhere, 8000)}
    assert not something & nothing
