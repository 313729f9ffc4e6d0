"""What makes a mixture's data: the key ``collect`` of its lines.

    sources:
      - {domain: metaworld, folders: [data/metaworld], collect: {episodes: 200, noise: 0.1}}
      - domain: stacking
        folders: [data/stack/pairs, data/stack/tower]
        collect:                    # one for each folder, in their order
          - {episodes: 400, tasks: [stack_any_pair_wide], randomise: true}
          - {episodes: 300, tasks: [tower_wide, tower_narrow]}
      - {pictures: [data/scenes], collect: {maker: scenes, count: 4000}}

    gato-ros collect --mixture config/mixtures/generalist.yaml

Training takes no notice of the key. Whatever is finished is never made again, and a line that
cannot be made is named while the others go on.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gato_ros.config import ConfigError, from_dict
from gato_ros.domains.domain import ActionError, DomainError
from gato_ros.domains.registry import domain_of, load_domain
from gato_ros.episodes.episode import EpisodeError
from gato_ros.policy.checkpoint import CheckpointError
from gato_ros.training.collect import RANDOM, CollectError, CollectSettings, collect
from gato_ros.training.settings import SourceSettings, read_mixture, split_recipe
from gato_ros.workers import WorkerError

# Makes pictures or documents: called with folder, count, first seed and workers. What it has
# finished it does not make again.
MAKERS = {'scenes': 'gato_ros.domains.language.scenes:make_scenes'}
FIRST_SEED = 100_000
Progress = Callable[[Iterable[Any], int], Iterable[Any]]


@dataclass(frozen=True)
class EpisodeRecipe:
    """What makes a folder of episodes; the rest as in collect.CollectSettings.

    episodes  of each task
    tasks     (): the line's own, else those of the domain's suite that may be collected so
    """

    episodes: int
    tasks: tuple[str, ...] = ()
    first_seed: int | None = None
    noise: float = 0.2
    delay_s: float = 0.02
    randomise: bool = False
    disturbance: str = ''
    actor: str = 'expert'
    policy: str = ''
    policy_share: float = 0.7
    longest_s: float = 1800.0

    def settings(self, source: SourceSettings, out: Path, workers: int, ray: str = ''
                 ) -> CollectSettings:
        """Return what is collected for a line; ConfigError or DomainError where it cannot be."""
        name = source.domain or domain_of(source.robot)
        domain = load_domain(name, source.robot)
        tasks = self.tasks or source.tasks or tuple(
            task for task in domain.suite if not domain.task(task).held_out
            and self.actor in (*domain.demonstrators_of(task), RANDOM))
        if not tasks:
            raise ConfigError(f'the domain {name!r} has no task for the actor {self.actor!r}, '
                              'expected one at least; see gato-ros domains')
        return CollectSettings(
            out, self.episodes * len(tasks), tuple(f'{name}/{task}' for task in tasks),
            source.robot, self.first_seed, self.noise, self.delay_s, self.randomise,
            self.disturbance, self.actor, Path(self.policy) if self.policy else None,
            self.policy_share, self.longest_s, workers, ray)


@dataclass(frozen=True)
class WordRecipe:
    """What makes a folder of pictures with text, or of documents: one of MAKERS."""

    maker: str
    count: int
    first_seed: int = FIRST_SEED

    def function(self) -> Callable[[Path, int, int, int], Any]:
        """Return the maker; ConfigError where there is none of this name."""
        if self.maker not in MAKERS:
            raise ConfigError(f'maker is {self.maker!r}, expected one of {", ".join(MAKERS)}')
        module, _, name = MAKERS[self.maker].partition(':')
        return getattr(importlib.import_module(module), name)


@dataclass(frozen=True)
class Part:
    """A folder of a mixture and what makes it."""

    source: SourceSettings
    folder: Path
    recipe: EpisodeRecipe | WordRecipe


@dataclass
class Made:
    """What became of a part.

    count, usable  episodes, and how many may be learnt from; of words what the maker says
    faults  tasks that broke or hang, or the whole folder: what went wrong
    """

    folder: Path
    count: int = 0
    usable: int = 0
    faults: dict[str, str] = field(default_factory=dict)


def read_parts(mixture: str | Path, root: Path | None = None) -> list[Part]:
    """Return what a mixture's lines say that makes their data, line by line.

    root  takes the place of the first folder in their relative paths; None: as they stand

    Raises ConfigError for a line that cannot be read, or a mixture that makes nothing.
    """
    parts = []
    for number, line in enumerate(read_mixture(mixture), 1):
        where = f'{mixture}, source {number}'
        rest, recipes = split_recipe(line)
        source = from_dict(SourceSettings, rest, where)
        if recipes is None:
            continue
        folders = source.folders or source.pictures or tuple(
            str(Path(pattern).parent) for pattern in source.documents)
        given = recipes if isinstance(recipes, list) else [recipes]
        if len(given) > len(folders):
            raise ConfigError(f'{where}: collect has {len(given)} recipes for {len(folders)} '
                              'folders, expected one for each at most')
        kind: type[EpisodeRecipe] | type[WordRecipe] = (
            EpisodeRecipe if source.folders else WordRecipe)
        parts += [Part(source, _place(folder, root), from_dict(kind, one, f'{where}: collect'))
                  for folder, one in zip(folders, given, strict=False)]
    if not parts:
        raise ConfigError(f'{mixture} has no line with the key collect, expected one at least: '
                          'what makes its data')
    return parts


def make(part: Part, workers: int, progress: Progress, ray: str = '') -> Made:
    """Make what is missing of a part; what goes wrong stands in the result.

    ray  address of a Ray cluster whose nodes share the work at episodes; '': this machine alone
    """
    made = Made(part.folder)
    try:
        if isinstance(part.recipe, WordRecipe):
            made.count = made.usable = int(part.recipe.function()(
                part.folder, part.recipe.count, part.recipe.first_seed, workers))
            return made
        settings = part.recipe.settings(part.source, part.folder, workers, ray)
        for _, usable in progress(collect(settings, made.faults), settings.episodes):
            made.count += 1
            made.usable += usable
    except (ActionError, CheckpointError, CollectError, ConfigError, DomainError, EpisodeError,
            WorkerError) as error:
        made.faults[str(part.folder)] = str(error)
    return made


def make_all(parts: Iterable[Part], workers: int, progress: Progress, ray: str = ''
             ) -> Iterator[Made]:
    """Yield what became of each part, when it is done; as ``make``."""
    for part in parts:
        yield make(part, workers, progress, ray)


def _place(folder: str, root: Path | None) -> Path:
    path = Path(folder)
    return path if root is None or path.is_absolute() else Path(root, *path.parts[1:])
