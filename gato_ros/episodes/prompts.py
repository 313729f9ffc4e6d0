"""Prompts: a sentence, or the first or last timesteps of a demonstration (the paper's two kinds).

    load_prompt('stack the red block on the blue block', robot)  # the sentence
    load_prompt('demos/one.mcap#last', robot)               # blocks of tokens
    policy.reset(load_prompt(...))                          # pinned: it stays in the window
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gato_ros.episodes.episode import SUFFIX, read_info, read_slice, timestep
from gato_ros.episodes.recordings.bag import read_demonstration
from gato_ros.episodes.recordings.mcap_file import BagError, read_about
from gato_ros.robot import RobotSpec
from gato_ros.tokens.context import CAPACITY
from gato_ros.tokens.sequence import TimestepTokenizer, TokenBlock

End = Literal['first', 'last']
STEPS = 4  # timesteps of a demonstration that serve, unless others are asked for
FILES = ('.mcap', SUFFIX)


@dataclass(frozen=True)
class Demonstrated:
    """A demonstration as a prompt: one block of tokens for each of its chosen timesteps.

    total  timesteps in the demonstration
    """

    file: Path
    end: End
    total: int
    blocks: tuple[TokenBlock, ...]

    @property
    def tokens(self) -> int:
        """Slots of the window that stay taken while it is pinned."""
        return sum(len(block) for block in self.blocks)


def is_demonstration(words: str) -> bool:
    """Whether these words name a file, and are no sentence."""
    return Path(words.partition('#')[0]).suffix in FILES


def lies_in(file: Path, folder: Path) -> bool:
    """Whether a file is a regular one in this folder: no link out of it, pipe or device."""
    try:
        real = file.resolve(strict=True)
        return real.is_relative_to(folder.resolve()) and stat.S_ISREG(real.stat().st_mode)
    except (OSError, RuntimeError, ValueError):  # a circle of links; a name with a null
        return False


def _named(words: str, folder: Path | None) -> tuple[Path, str]:
    """Return the file and the part that words name; BagError for none, or one elsewhere."""
    name, _, end = words.partition('#')
    inside = folder is not None and not Path(name).is_absolute()
    file = Path(name) if folder is None else folder / name
    try:
        file.stat()
    except FileNotFoundError:
        return file, end  # the reader says it
    except (OSError, ValueError) as error:
        raise BagError(f'{file} cannot be read: {getattr(error, "strerror", error)}') from error
    if not lies_in(file, folder if inside and folder else Path('/')):
        raise BagError(f'{file} is no regular file in its folder, expected a recording or an '
                       'episode, and no link to elsewhere')
    return file, end


def load_prompt(words: str, robot: RobotSpec, steps: int = STEPS,
                folder: Path | None = None) -> str | tuple[TokenBlock, ...]:
    """Return what ``words`` stand for: FILE#first or FILE#last, or a sentence as it is.

    folder  where a FILE with a relative name must be; None: wherever it says

    Raises ValueError (BagError, EpisodeError) for a demonstration that cannot serve.
    """
    if not is_demonstration(words):
        return words
    file, end = _named(words, folder)
    return read_prompt(file, robot, end or 'last', steps).blocks


def sentence_of(words: str, folder: Path | None = None) -> str:
    """Return a sentence as it is, and of a demonstration the sentence of what it shows.

    Raises ValueError for a demonstration that cannot be read.
    """
    if not is_demonstration(words):
        return words
    file, _ = _named(words, folder)
    return (read_info(file).sentence if file.suffix == SUFFIX
            else read_about(file).get('sentence', ''))


def is_failure(file: Path) -> bool:
    """Whether a recording (.mcap) or an episode (.safetensors) is marked as a failure.

    Raises ValueError for one that cannot be read.
    """
    if file.suffix == SUFFIX:
        return not read_info(file).success
    return read_about(file).get('outcome') == 'failure'


def read_prompt(file: Path, robot: RobotSpec, end: str = 'last',
                steps: int = STEPS) -> Demonstrated:
    """Read the prompt in a recording (.mcap) or an episode (.safetensors).

    Raises BagError when it is of another specification, too short, or leaves no room to act.
    """
    if end not in ('first', 'last'):
        raise BagError(f'{file}#{end}: the part is {end!r}, expected first or last')
    tokenizer = TimestepTokenizer(robot.timestep())
    room = CAPACITY // len(tokenizer.layout()) - 1  # a timestep must fit beside it
    if not 1 <= steps <= room:
        raise BagError(f'a prompt of {steps} timesteps was asked for, expected 1 to {room}: '
                       f'{CAPACITY} tokens are the window, {len(tokenizer.layout())} a timestep')
    if file.suffix == SUFFIX:
        info = read_info(file)
        if info.spec_hash != tokenizer.spec.hash:
            raise BagError(f'{file} has specification {info.spec_hash}, expected '
                           f'{tokenizer.spec.hash} of robot {robot.name!r}')
        total = info.length
        start = 0 if end == 'first' else max(0, total - steps)
        data = read_slice(file, start, start + steps)
        rows = [(seen.images, seen.proprioception, sent) for seen, sent in (
            timestep(data, row) for row in range(min(steps, total)))]
    else:
        found = read_demonstration(file, robot).steps
        total = len(found)
        chosen = found[:steps] if end == 'first' else found[-steps:]
        rows = [(seen.images, seen.proprioception, {robot.command_field: command})
                for seen, command in chosen]
    if total < steps:
        raise BagError(f'{file} has {total} timesteps, expected at least {steps}')
    try:
        blocks = tuple(tokenizer.encode(*row) for row in rows)
    except (ValueError, KeyError) as error:  # such as a value that is not finite
        raise BagError(f'{file} holds what robot {robot.name!r} does not send: {error}') from error
    return Demonstrated(file, 'first' if end == 'first' else 'last', total, blocks)
