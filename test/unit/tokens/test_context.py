"""The rolling window: whole timesteps leave, the prompt stays, slots never collide."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gato_ros.tokens.context import ContextWindow


def test_whole_timesteps_leave_oldest_first():
    window = ContextWindow(capacity=10)
    first, second = window.append(4), window.append(4)
    third = window.append(4)
    assert not window.visible[np.setdiff1d(first, third)].any()
    assert window.visible[second].all() and window.visible[third].all()
    assert window.timesteps == 2 and window.tokens == 8


def test_a_pinned_prompt_stays_as_near_as_it_was():
    window = ContextWindow(capacity=10)
    prompt = window.pin(3)
    for count in range(20):
        newest = window.append(3)
        near = 3 * min(count, 1)  # tokens between the prompt and the newest timestep
        assert (window.position[newest[0]] - window.position[prompt]).tolist() == [
            near + 3, near + 2, near + 1]
    assert window.visible[prompt].all() and window.timesteps == 2


def test_a_limit_of_timesteps_holds():
    window = ContextWindow(capacity=100, max_timesteps=1)
    for _ in range(5):
        slots = window.append(7)
        assert np.flatnonzero(window.visible).tolist() == sorted(slots.tolist())


@given(st.lists(st.integers(1, 12), min_size=1, max_size=60), st.integers(0, 7))
def test_positions_of_visible_tokens_are_unique_and_rising(lengths, prompt):
    window = ContextWindow(capacity=20)
    if prompt:
        window.pin(prompt)
    total = prompt
    for length in lengths:
        slots = window.append(length)
        assert window.position[slots].tolist() == list(range(total, total + length))
        total += length
        held = np.sort(window.position[window.visible])
        assert held.tolist() == list(range(total - len(held), total))


def test_what_can_never_fit_is_refused():
    window = ContextWindow(capacity=10)
    with pytest.raises(ValueError, match='prompt of 10 tokens leaves no room in a window of 10'):
        window.pin(10)
    window.pin(4)
    with pytest.raises(ValueError, match='7 tokens does not fit a window of 10 with 4 pinned'):
        window.append(7)
    window.append(2)
    with pytest.raises(ValueError, match='only before the first timestep'):
        window.pin(1)
