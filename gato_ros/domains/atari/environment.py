"""One of the console's games at work: buttons in, a small grey screen out.

A timestep is four of the console's frames with one set of buttons. The picture's three channels
are three moments: the screen now, one and two timesteps earlier, each the brighter of its last two
frames, since the console draws some things in every other frame only. So one picture shows how a
ball moves, at no token more.
"""

from __future__ import annotations

import zlib

import ale_py
import cv2
import numpy as np
from ale_py import ALEInterface, LoggerMode
from ale_py.roms import get_rom_path

from gato_ros.domains.atari.games import SPEC, Game, game_of, sentence_of
from gato_ros.domains.domain import DomainError, Environment, Values
from gato_ros.spec import Observation

FRAMES = 4  # of a timestep
MOMENTS = 3  # channels of the picture
PERIOD_NS = FRAMES * 1_000_000_000 // 60
STICKY = 0.25  # chance that a frame repeats the former buttons (Machado et al. 2018)
OPENING = (8, 41)  # timesteps in which chance plays first: else seeds would share episodes
SIDE = SPEC.images[0].width
BUTTONS = SPEC.discrete_actions[0]


class AtariEnvironment(Environment):
    """A game by its task; another task loads another game.

    ram     uint8[128], the console's memory; former: as it was one timestep earlier
    """

    spec = SPEC

    def __init__(self) -> None:
        ALEInterface.setLoggerMode(LoggerMode.Error)
        self._emulator = ALEInterface()
        # Chance is drawn here: the emulator takes a seed only as it loads a game, in 0.1 s.
        self._emulator.setInt('random_seed', 0)
        self._emulator.setFloat('repeat_action_probability', 0.0)
        self._loaded = ''

    def reset(self, task: str, seed: int) -> Observation:
        self.game, self._sticky = game_of(task)
        self._load(self.game)
        self._rng = np.random.default_rng((seed, zlib.crc32(self.game.rom.encode())))
        self._emulator.reset_game()
        self._held = 0
        self.ram = self._emulator.getRAM()
        for _ in range(self._rng.integers(*OPENING)):
            self._press(int(self._rng.integers(BUTTONS.count)))
        self._moments = [self._screen()] * MOMENTS if self.pictures else []
        self._steps, self._score = 0, 0.0
        return self._observation()

    def step(self, values: Values) -> Observation:
        self._score += self._press(int(values[BUTTONS.name][0]))
        self._steps += 1
        if self.pictures:
            self._moments = [self._screen(), *self._moments[:-1]]
        return self._observation()

    @property
    def ended(self) -> bool:
        return self._steps >= self.game.longest or self._emulator.game_over()

    @property
    def score(self) -> float:
        return self._score

    @property
    def progress(self) -> float:
        return self._steps / self.game.longest

    @property
    def sentence(self) -> str:
        return sentence_of(self.game, self._sticky)

    def picture(self, size: int) -> np.ndarray:
        screen = self._emulator.getScreenRGB()
        height = round(size * screen.shape[0] / screen.shape[1])
        return cv2.resize(screen, (size, height), interpolation=cv2.INTER_AREA)

    def twin(self) -> Environment:
        twin = AtariEnvironment()
        twin.pictures = self.pictures
        return twin

    def _load(self, game: Game) -> None:
        if self._loaded == game.rom:
            return
        path = get_rom_path(game.rom)
        if path is None:
            raise DomainError(f'the game {game.rom!r} is not in the installed ale-py '
                              f'{ale_py.__version__}, expected an ale-py that brings it; install '
                              "one: pip install --upgrade 'gato_ros[atari]'")
        self._emulator.loadROM(path)
        self._loaded = game.rom

    def _press(self, buttons: int) -> float:
        """Hold buttons for a timestep; return the points that it brought."""
        self.former, points = self.ram, 0.0
        for frame in range(FRAMES):
            if not self._sticky or self._rng.random() >= STICKY:
                self._held = buttons
            if self.pictures and frame == FRAMES - 1:
                self._before = self._emulator.getScreenGrayscale()
            points += self._emulator.act(self._held)
        self.ram = self._emulator.getRAM()
        return points

    def _screen(self) -> np.ndarray:
        first, last = self.game.rows
        both = np.maximum(self._before, self._emulator.getScreenGrayscale())
        return cv2.resize(both[first:last], (SIDE, SIDE), interpolation=cv2.INTER_AREA)

    def _observation(self) -> Observation:
        images = {SPEC.images[0].name: np.stack(self._moments, -1)} if self.pictures else {}
        return Observation(images, stamp_ns=self._steps * PERIOD_NS)
