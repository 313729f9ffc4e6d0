"""A mixture: sources with weights, from which a batch is drawn; a function of seed, step, rank.

    sources:                                   # config/mixtures/*.yaml, one line each
      - {domain: stacking, folders: [data/stack], weight: 3}
      - {domain: grid.py, folders: [data/grid], weight: 1}
      - {documents: ['docs/*.md'], weight: 0.5}
      - {dialogue: ['config/dialogue/*.yaml'], weight: 0.5}
      - {pictures: [data/captions], weight: 0.5}
      - {wordings: stacking, weight: 0.2}

A batch is a list of groups of equal layout. A source's share of the sequences is its share of the
weights on average, and within one sequence of it in every batch. A domain's bodies share their
line's weight by their numbers of tasks: a task whose episodes are long drowns no other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from gato_ros.config import ConfigError
from gato_ros.domains.registry import domain_of, load_domain
from gato_ros.training.data.dialogue import DialogueSource
from gato_ros.training.data.documents import DocumentSource
from gato_ros.training.data.group import Group
from gato_ros.training.data.pictures import PictureSource
from gato_ros.training.data.source import Source
from gato_ros.training.data.windows import WindowSource, find_episodes
from gato_ros.training.data.wordings import WordingSource
from gato_ros.training.settings import SourceSettings

GOLDEN = (5**0.5 - 1) / 2  # its multiples spread most evenly over [0, 1)


class Mixture:
    """Some sources and their weights.

    auxiliary  training-only targets of all sources, name -> size
    """

    def __init__(self, settings: Sequence[SourceSettings], seed: int, cache: Path | None = None
                 ) -> None:
        self._seed = seed
        self.sources: list[Source] = []
        weights: list[float] = []
        for line in settings:
            made = _sources(line, cache, alone=len(settings) == 1)
            self.sources += made
            tasks = [max(1, len(source.tasks)) for source in made]
            weights += [line.weight * count / sum(tasks) for count in tasks]
        names = Counter(source.name for source in self.sources)
        twice = [name for name, count in names.items() if count > 1]
        if twice:
            raise ConfigError(f'the mixture has {names[twice[0]]} sources that are called '
                              f'{twice[0]!r}, expected one of each; give them a name')
        self._bounds = np.concatenate([[0.0], np.cumsum(weights) / sum(weights)])
        self.auxiliary = self._join_targets()

    def place(self, device: torch.device) -> None:
        """Keep data on a device, where that is worth it."""
        for source in self.sources:
            source.place(device)

    def batch(self, step: int, size: int, rank: int = 0) -> list[Group]:
        """Return ``size`` sequences as groups of equal layout."""
        groups = []
        for number, (source, count) in enumerate(zip(self.sources, self._counts(step, size),
                                                     strict=True)):
            # The first source draws as it would alone.
            rng = np.random.default_rng((self._seed, step, rank, *([number] if number else [])))
            groups += [self._widen(source, group) for group in source.draw(rng, count)]
        return groups

    def _counts(self, step: int, size: int) -> np.ndarray:
        """Return how many sequences each source gives: systematic sampling with a moving start."""
        edges = np.floor(self._bounds * size + step * GOLDEN % 1.0 + 1e-9).astype(int)
        edges[-1] = edges[0] + size
        return np.diff(edges)

    def _join_targets(self) -> dict[str, int]:
        sizes: dict[str, int] = {}
        for source in self.sources:
            for name, size in source.targets.sizes.items():
                if sizes.setdefault(name, size) != size:
                    raise ConfigError(f'the training-only target {name!r} has {size} values in '
                                      f'the source {source.name!r} and {sizes[name]} in another, '
                                      'expected the same')
        return dict(sorted(sizes.items()))

    def _widen(self, source: Source, group: Group) -> Group:
        """Return a group whose targets are all sources'; those that it lacks are unknown."""
        if dict(source.targets.sizes) == self.auxiliary:
            return group
        mine = dict(zip(source.targets.sizes, torch.split(
            group.auxiliary, list(source.targets.sizes.values()), -1), strict=True))
        lead = len(group.ids), len(group.layout.separators)
        parts = [mine.get(name, torch.full((*lead, size), float('nan'),
                                           device=group.ids.device))
                 for name, size in self.auxiliary.items()]
        return Group(group.ids, group.targets, group.patches, torch.cat(parts, -1), group.layout,
                     group.source)


def _sources(settings: SourceSettings, cache: Path | None, alone: bool) -> list[Source]:
    """Return what one line of a mixture stands for: one source for each specification."""
    if settings.documents:
        return [DocumentSource(settings.name or 'documents', settings)]
    if settings.dialogue:
        return [DialogueSource(settings.name or 'dialogue', settings)]
    if settings.pictures:
        return [PictureSource(settings.name or 'pictures', settings)]
    if settings.wordings:
        return [WordingSource(settings.name or 'wordings', settings)]
    if not settings.folders:
        raise ConfigError(f'the source {settings.name or settings.domain!r} has no folders, '
                          'expected some of episodes, or documents, dialogue, pictures or '
                          'wordings')
    domain = load_domain(settings.domain or domain_of(settings.robot), settings.robot)
    for task in settings.tasks:
        domain.task(task)
    found = find_episodes(domain, settings)
    made: list[Source] = []
    for body, (spec, episodes) in found.items():
        name = f'{settings.name or domain.name}{"/" if body else ""}{body}'
        place = cache if cache is None or (alone and len(found) == 1) else cache / name
        made.append(WindowSource(name, spec, episodes, settings, place))
    return made
