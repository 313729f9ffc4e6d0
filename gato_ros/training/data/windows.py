"""Windows of a domain's episodes: sequences of timesteps, alone or behind a prompt.

Plain windows, windows behind a demonstration, behind a sentence and behind both are groups of
equal layout, so that nothing is padded. Each draw is a function of the generator that is given.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch

from gato_ros.domains.domain import Domain
from gato_ros.episodes.episode import HOLES, EpisodeError, EpisodeInfo, list_episodes, read_slice
from gato_ros.model.layout import SequenceLayout, sequence_layout
from gato_ros.spec import TimestepSpec
from gato_ros.tokens.sequence import TimestepTokenizer
from gato_ros.training.data.columns import tokenise
from gato_ros.training.data.group import Group
from gato_ros.training.data.source import Targets
from gato_ros.training.settings import SourceSettings

REHEARSAL = 'rehearsal'  # in an episode's ``extra``: nobody needs a demonstration of it
Found = list[tuple[Path, EpisodeInfo]]


class WindowSource:
    """Draws windows from the episodes of one specification.

    cache  where the tokenised timesteps are kept for the next start; None: in memory

    Raises EpisodeError where no episode serves.
    """

    def __init__(self, name: str, spec: TimestepSpec, episodes: Found, settings: SourceSettings,
                 cache: Path | None = None) -> None:
        self.name, self.spec, self.settings, self.episodes = name, spec, settings, episodes
        self.tokenizer = TimestepTokenizer(spec)
        lengths = np.array([info.length for _, info in self.episodes])
        self._first = np.cumsum(lengths) - lengths  # row of each episode's first timestep
        self._starts = lengths - settings.timesteps + 1
        weights = [settings.policy_weight if info.source == 'policy'
                   else settings.demonstration_weight for _, info in self.episodes]
        self._ends = np.cumsum(self._starts * weights)
        self._mates: dict[tuple[str, str], list[int]] = {}
        for number, (_, info) in enumerate(self.episodes):
            if info.success is not False:
                for source in (info.source, ''):
                    self._mates.setdefault((_told(info), source), []).append(number)
        lonely = next((_told(info) for _, info in self.episodes if not info.extra.get(REHEARSAL)
                       and (_told(info), '') not in self._mates), None)
        if lonely is not None and settings.prompt_fraction + settings.named_fraction:
            raise EpisodeError(f'no episode of {lonely!r} is successful, expected at least one to '
                               'serve as a prompt; collect one, or set prompt_fraction and '
                               f'named_fraction of {name!r} to 0')
        self.targets = self._measure_targets()
        self._columns = tokenise(self.episodes, self.tokenizer, self.targets.sizes, cache)
        self._layouts: dict[tuple[int, int, int], SequenceLayout] = {}

    @property
    def timesteps(self) -> int:
        """Timesteps in all episodes."""
        return sum(info.length for _, info in self.episodes)

    @property
    def longest_prompt(self) -> int:
        """Tokens of a prompt's demonstration."""
        return self.settings.prompt_timesteps * len(self.tokenizer.layout())

    @property
    def tasks(self) -> set[str]:
        """Of the episodes, by name."""
        return {info.task for _, info in self.episodes if info.task}

    @property
    def sentences(self) -> set[str]:
        """Of the episodes."""
        return {info.sentence for _, info in self.episodes if info.sentence}

    def place(self, device: torch.device) -> None:
        """Keep the timesteps on a CUDA device where half of its free memory holds them."""
        if device.type == 'cuda' and self._columns.bytes < torch.cuda.mem_get_info(device)[0] / 2:
            self._columns = self._columns.to(device)

    def draw(self, rng: np.random.Generator, size: int) -> list[Group]:
        """Return ``size`` sequences as groups of equal layout."""
        prompted = round(size * self.settings.prompt_fraction)
        worded = round(size * self.settings.sentence_fraction)
        named = round(size * self.settings.named_fraction)
        plain = size - prompted - worded - named
        return [*self._draw_groups(rng, plain), *self._draw_groups(rng, prompted, shown=True),
                *self._draw_groups(rng, worded, told=True),
                *self._draw_groups(rng, named, shown=True, told=True)]

    def _draw_groups(self, rng: np.random.Generator, size: int, shown: bool = False,
                     told: bool = False) -> list[Group]:
        """Draw windows behind a demonstration, their sentence, both or nothing.

        One group for each number of words' tokens.
        """
        by_length: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
        for _ in range(size):
            number, rows = self._draw(rng)
            while shown and (_told(self.episodes[number][1]), '') not in self._mates:
                number, rows = self._draw(rng)
            info, words = self.episodes[number][1], np.zeros(0, np.int32)
            if shown:
                rows = np.concatenate([self._prompt(rng, info), rows])
            if told:
                words = self.tokenizer.sentence(info.sentence, ended=shown).ids
            by_length.setdefault(len(words), []).append((words, rows))
        prompt = self.settings.prompt_timesteps if shown else 0
        return [self._join(np.stack([rows for _, rows in members]), prompt,
                           np.stack([words for words, _ in members]))
                for members in by_length.values()]

    def _draw(self, rng: np.random.Generator) -> tuple[int, np.ndarray]:
        """Draw an episode and a window's rows, every window of equal weight equally likely."""
        place = int(rng.integers(self._ends[-1]))
        number = int(np.searchsorted(self._ends, place, side='right'))
        offset = place - (int(self._ends[number - 1]) if number else 0)
        start = offset % int(self._starts[number])
        if _torn(self.episodes[number][1], start, self.settings.timesteps):
            return self._draw(rng)
        return number, self._rows(number, start, self.settings.timesteps)

    def _prompt(self, rng: np.random.Generator, info: EpisodeInfo) -> np.ndarray:
        """Draw a demonstration of the same by the same source, by any where that one has none."""
        told = _told(info)
        mates = self._mates.get((told, info.source)) or self._mates[told, '']
        number = mates[int(rng.integers(len(mates)))]
        last = self.episodes[number][1].length - self.settings.prompt_timesteps
        at_end = rng.random() < self.settings.prompt_at_end
        start = last if at_end else int(rng.integers(last + 1))
        return self._rows(number, max(start, 0), self.settings.prompt_timesteps)

    def _rows(self, number: int, start: int, count: int) -> np.ndarray:
        return int(self._first[number]) + np.arange(start, start + count)

    def _join(self, rows: np.ndarray, shown: int, words: np.ndarray) -> Group:
        """Gather sequences of timesteps by their rows (B, m), with words int32 (B, L) among them.

        The first ``shown`` timesteps are a demonstration; the words stand behind it.
        """
        columns = self._columns
        index = torch.from_numpy(rows).to(columns.ids.device)
        ids = columns.ids[index].long()  # (B, m, K)
        targets = ids.clone()
        targets[..., ids.shape[-1] - columns.labels.shape[-1]:] = columns.labels[index].long()
        said = torch.from_numpy(words).long().to(index.device)
        ids, targets = (torch.cat([tokens[:, :shown].flatten(1), said,
                                   tokens[:, shown:].flatten(1)], 1) for tokens in (ids, targets))
        auxiliary = columns.auxiliary[index[:, -self.settings.timesteps:]]
        mean, std = (torch.from_numpy(scale).to(index.device)
                     for scale in (self.targets.mean, self.targets.std))
        return Group(ids, targets, columns.patches[index].flatten(1, 2), (auxiliary - mean) / std,
                     self._layout(shown, words.shape[1], rows.shape[1] - shown), self.name)

    def _layout(self, shown: int, words: int, timesteps: int) -> SequenceLayout:
        key = shown, words, timesteps
        if key not in self._layouts:
            one = self.tokenizer.layout()
            prompt = [one] * shown + [self.tokenizer.sentence_layout(words)] * bool(words)
            self._layouts[key] = sequence_layout(prompt + [one] * timesteps, len(prompt))
        return self._layouts[key]

    def _measure_targets(self) -> Targets:
        """Return the sizes, mean and deviation of the training-only targets."""
        if not self.settings.auxiliary:
            return Targets()
        some = self.episodes[::max(1, len(self.episodes) // 50)]
        data = [read_slice(path, 0, info.length)['target'] for path, info in some]
        data = [targets for targets in data if targets]  # a real robot's episodes have none
        if not data:
            raise EpisodeError(f'auxiliary is true, but the episodes of {self.name!r} hold no '
                               'training-only targets; set it to false')
        names = sorted(data[0])
        table = np.concatenate([np.concatenate([d[n] for n in names], axis=1) for d in data])
        # An unknown value counts for nothing.
        known = np.ma.masked_invalid(table) if np.isnan(table).any() else table
        mean, std = (np.ma.filled(part, 0.0) for part in (known.mean(0), known.std(0)))
        return Targets({n: data[0][n].shape[1] for n in names}, mean, np.maximum(std, 1e-3))


def find_episodes(domain: Domain, settings: SourceSettings
                  ) -> dict[str, tuple[TimestepSpec, Found]]:
    """Return the episodes that serve, by their body: each body has a specification of its own.

    Raises EpisodeError where there is none of the domain's.
    """
    specs = {domain.specification(task).hash: (domain.task(task).body, domain.specification(task))
             for task in settings.tasks or domain.tasks or ('',)}
    found: dict[str, tuple[TimestepSpec, Found]] = {}
    total, short, foreign = 0, 0, ''
    for folder in settings.folders:
        kept: dict[str, int] = {}
        for path, info in list_episodes(Path(folder)):
            total += 1
            # A robot's episodes are known by their specification: its simulation is a domain, too.
            elsewhere = info.domain not in ('', domain.name) and not info.robot
            if info.spec_hash not in specs or elsewhere:
                foreign = (f'{path} was recorded with specification {info.spec_hash}'
                           + f' in the domain {info.domain!r}' * bool(info.domain))
                continue
            body, spec = specs[info.spec_hash]
            short += info.length < settings.timesteps
            if not _serves(domain, settings, info):
                continue
            kept[body] = kept.get(body, 0) + 1
            if not settings.episodes or kept[body] <= settings.episodes:
                found.setdefault(body, (spec, []))[1].append((path, info))
    if found and short:
        warnings.warn(f'{short} of {total} episodes in {", ".join(settings.folders)} are '
                      f'shorter than a sequence of {settings.timesteps} timesteps and are '
                      'left out; lower timesteps in the training file, and they serve',
                      stacklevel=2)
    if not found and foreign:
        raise EpisodeError(f'{foreign}, expected {", ".join(specs)} of {domain.name}; no episode '
                           f'in {", ".join(settings.folders)} has that')
    if not found:
        raise EpisodeError(f'none of the {total} episodes in {", ".join(settings.folders)} is '
                           f'usable ({domain.name} decides: a success, or its bar) and has '
                           f'{settings.timesteps} timesteps, expected one at least')
    return found


def _serves(domain: Domain, settings: SourceSettings, info: EpisodeInfo) -> bool:
    """Whether an episode may be learnt from; where a policy acted an expert labelled it all."""
    of_task = not settings.tasks or info.task in settings.tasks
    whole = any(not _torn(info, start, settings.timesteps)
                for start in range(info.length - settings.timesteps + 1))
    return of_task and whole and (
        info.source == 'policy' or domain.usable(info.success, info.normalised))


def _torn(info: EpisodeInfo, start: int, count: int) -> bool:
    """Whether timesteps are missing among the ``count`` from ``start`` on."""
    holes = info.extra.get(HOLES) or ()
    return any(start < hole < start + count for hole in holes)


def _told(info: EpisodeInfo) -> str:
    """Return what an episode shows: a task such as stack_any_pair has several sentences."""
    return info.sentence or info.task


