"""Which games there are: cartridge, words, the part of the screen that matters, length."""

from __future__ import annotations

from dataclasses import dataclass

from gato_ros.spec import DiscreteField, ImageField, TimestepSpec

STEADY = '_steady'  # ends the name of a task without sticky actions
SPEC = TimestepSpec(images=(ImageField('screen', 64, 64),),
                    discrete_actions=(DiscreteField('buttons', ('buttons',), 18),))


@dataclass(frozen=True)
class Game:
    """One cartridge.

    rom      its name in the emulator; title: for people
    rows     first and last row of the screen's 210 that the picture shows, without scores
    longest  timesteps of an episode, which ends before with the game
    human    a person's published score: Atari-57's column of humans (Badia et al. 2020); of whole
             games, so it compares only where an episode is one. None: nobody published one
    """

    rom: str
    title: str
    rows: tuple[int, int]
    longest: int
    human: float | None = None
    held_out: bool = False


GAMES = {game.rom: game for game in (
    Game('boxing', 'Boxing', (32, 182), 450, 12.1),
    Game('breakout', 'Breakout', (26, 198), 800, 30.5),
    Game('carnival', 'Carnival', (26, 202), 600, held_out=True),
    Game('fishing_derby', 'Fishing Derby', (60, 190), 600, -38.7),
    Game('freeway', 'Freeway', (16, 196), 512, 29.6),
    Game('gopher', 'Gopher', (90, 196), 600, 2412.5),
    Game('pong', 'Pong', (34, 194), 800, 14.6),
    Game('skiing', 'Skiing', (24, 184), 1000, -4336.9),  # the expert arrives after 530
    Game('space_invaders', 'Space Invaders', (20, 198), 700, 1668.7),
)}


def game_of(task: str) -> tuple[Game, bool]:
    """Return a task's game, and whether its actions are sticky."""
    return GAMES[task.removesuffix(STEADY)], not task.endswith(STEADY)


def sentence_of(game: Game, sticky: bool) -> str:
    """Return what a policy is told."""
    return f'play {game.title}' + ('' if sticky else ' with steady buttons')
