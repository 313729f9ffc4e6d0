"""The console's games: pictures that show motion, sticky buttons, experts above chance."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip('ale_py')

from gato_ros.domains.atari import environment as environment_module
from gato_ros.domains.atari.buttons import FIRE, NOTHING, UP, UP_LEFT_FIRE, stick
from gato_ros.domains.atari.games import GAMES, STEADY
from gato_ros.domains.domain import DomainError
from gato_ros.domains.registry import load_domain
from gato_ros.domains.wrappers import Checked
from gato_ros.training.collect import RandomDemonstrator

pytestmark = pytest.mark.sim


def press(buttons: int) -> dict[str, np.ndarray]:
    return {'buttons': np.array([buttons])}


def play(task: str, seed: int, expert: bool) -> float:
    """Return the score of an episode without pictures."""
    domain = load_domain('atari')
    environment = Checked(domain.environment())
    environment.pictures = False
    seen, rng = environment.reset(task, seed), np.random.default_rng(seed)
    who = (domain.demonstrator(environment, 'expert', rng) if expert
           else RandomDemonstrator(environment.spec, rng))
    while not environment.ended:
        seen = environment.step(who.act(seen))
    return environment.score


@pytest.mark.parametrize('rom', GAMES)
def test_an_expert_beats_chance(rom: str) -> None:
    """By three episodes each; the published scores say by how much, of 50."""
    expert, chance = ([play(rom, seed, who) for seed in (100, 101, 102)] for who in (True, False))
    assert np.mean(expert) > np.mean(chance)


def test_a_picture_shows_three_moments() -> None:
    """What is now in a channel is in the next one a timestep later; colours are time alone."""
    environment = load_domain('atari').environment()
    seen = environment.reset('breakout', 1).images['screen']
    assert np.array_equal(seen[..., 0], seen[..., 1]), 'nothing came before the first timestep'
    moments = [seen[..., 0]]
    for _ in range(4):
        seen = environment.step(press(FIRE)).images['screen']
        moments.append(seen[..., 0])
    assert seen.shape == (64, 64, 3)
    assert all(np.array_equal(seen[..., age], moments[-1 - age]) for age in range(3))
    assert (moments[-1] != moments[-2]).any(), 'the ball moves'


def test_pictures_change_nothing() -> None:
    """Whether somebody looks is no part of an episode's course."""
    scores = []
    for pictures in (True, False):
        environment = load_domain('atari').environment()
        environment.pictures = pictures
        environment.reset('pong', 5)
        for step in range(200):
            environment.step(press(2 + step % 3))
        scores.append((environment.score, environment.ram.tolist()))
    assert scores[0] == scores[1]


def test_buttons_stick_but_for_the_steady_variant() -> None:
    """Steady, one timestep's press moves the chicken by just so much; sticky, it varies."""
    def strides(task: str) -> set[int]:
        environment = load_domain('atari').environment()
        environment.pictures = False
        found = set()
        for seed in range(12):
            environment.reset(task, seed)
            for _ in range(8):
                environment.step(press(NOTHING))
            before = int(environment.ram[14])
            environment.step(press(UP))
            found.add(int(environment.ram[14]) - before)
        return found
    assert len(strides('freeway' + STEADY)) < len(strides('freeway'))


def test_seeds_are_episodes_of_their_own_even_where_nothing_sticks() -> None:
    environment = load_domain('atari').environment()
    environment.pictures = False
    starts = {environment.reset('pong' + STEADY, seed) and environment.ram.tobytes()
              for seed in range(20)}
    assert len(starts) == 20


def test_a_direction_is_a_combination_of_buttons() -> None:
    assert (stick(0), stick(0, -3), stick(-0.5, -2, fire=True)) == (NOTHING, UP, UP_LEFT_FIRE)


def test_every_task_tells_its_name_in_words() -> None:
    tasks = load_domain('atari').tasks
    sentences = {task.sentence for task in tasks.values()}
    assert len(sentences) == len(tasks) == 2 * len(GAMES)


def test_people_are_compared_where_their_score_was_published() -> None:
    """As the column of humans of the Atari-57 benchmark has it."""
    domain = load_domain('atari')
    assert [domain.human(task) for task in ('pong', 'pong' + STEADY, 'carnival')] == [
        14.6, 14.6, None]


def test_a_missing_game_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment_module, 'get_rom_path', lambda rom: None)
    with pytest.raises(DomainError, match=r"the game 'pong' is not in the installed ale-py \d"):
        load_domain('atari').environment().reset('pong', 0)
