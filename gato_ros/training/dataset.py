"""Batches of token sequences, sampled from episodes; a pure function of seed, step and rank.

A batch is a list of groups: sequences of equal layout, so that nothing is padded. Plain windows,
windows behind a demonstration and windows behind a sentence are three groups; another domain's
episodes would be a fourth.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gato_ros.episodes.episode import EpisodeError, EpisodeInfo, list_episodes, read_slice
from gato_ros.model.layout import SequenceLayout, sequence_layout
from gato_ros.spec import TimestepSpec
from gato_ros.tokens.sequence import TimestepTokenizer, TokenBlock
from gato_ros.training.settings import DataSettings


@dataclass(frozen=True, eq=False)
class Group:
    """B sequences of T tokens with one layout.

    ids, targets  int64 (B, T): what is read, and what should be said
    patches       uint8 (B, P, 16, 16, 3)
    auxiliary     float32 (B, S, n), targets at the S separators behind the prompt; NaN: unknown
    """

    ids: Tensor
    targets: Tensor
    patches: Tensor
    auxiliary: Tensor
    layout: SequenceLayout

    def to(self, device: torch.device) -> Group:
        """Copy to a device; the layout is made there."""
        return Group(self.ids.to(device), self.targets.to(device), self.patches.to(device),
                     self.auxiliary.to(device), self.layout.to(device))


class WindowSampler:
    """Draws groups of sequences from the episodes below some folders."""

    def __init__(self, spec: TimestepSpec, settings: DataSettings, seed: int) -> None:
        self.settings = settings
        self.tokenizer = TimestepTokenizer(spec)
        self._seed = seed
        found = [item for folder in settings.folders
                 for item in list_episodes(Path(folder), spec.hash)]
        self.episodes = [(path, info) for path, info in found
                         if info.length >= settings.timesteps
                         and (info.success or info.source == 'policy')]
        if not self.episodes:
            raise EpisodeError(f'none of {len(found)} episodes is successful and has '
                               f'{settings.timesteps} timesteps (data.timesteps)')
        self._starts = np.array([info.length - settings.timesteps + 1
                                 for _, info in self.episodes])
        weights = [settings.policy_weight if info.source == 'policy' else 1
                   for _, info in self.episodes]
        self._ends = np.cumsum(self._starts * weights)
        self._mates: dict[tuple[str, str], list[int]] = {}
        for number, (_, info) in enumerate(self.episodes):
            if info.success:
                self._mates.setdefault((info.task, info.source), []).append(number)
        self.auxiliary, self._mean, self._std = self._measure_targets()

    @property
    def timesteps(self) -> int:
        """Timesteps in all episodes."""
        return sum(info.length for _, info in self.episodes)

    @property
    def auxiliary_scale(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the training-only targets."""
        return self._mean, self._std

    def batch(self, step: int, size: int, rank: int = 0) -> list[Group]:
        """Return ``size`` sequences as groups of equal layout."""
        rng = np.random.default_rng((self._seed, step, rank))
        prompted = round(size * self.settings.prompt_fraction)
        worded = round(size * self.settings.sentence_fraction)
        groups = []
        if plain := size - prompted - worded:
            groups.append(self._group(rng, plain, demonstration=False))
        if prompted:
            groups.append(self._group(rng, prompted, demonstration=True))
        if worded:
            groups += self._worded(rng, worded)
        return groups

    def _worded(self, rng: np.random.Generator, size: int) -> list[Group]:
        """Windows behind their sentences, one group for each number of words' tokens."""
        rows = [self._draw(rng) for _ in range(size)]
        by_length: dict[int, list[tuple[TokenBlock, int, int]]] = {}
        for number, start in rows:
            sentence = self.tokenizer.sentence(self.episodes[number][1].sentence)
            by_length.setdefault(len(sentence), []).append((sentence, number, start))
        return [self._join([[sentence, self._window(number, start)]
                            for sentence, number, start in members], pinned=1)
                for members in by_length.values()]

    def _group(self, rng: np.random.Generator, size: int, demonstration: bool) -> Group:
        rows: list[list[TokenBlock | _Window]] = []
        for _ in range(size):
            number, start = self._draw(rng)
            row: list[TokenBlock | _Window] = [self._window(number, start)]
            if demonstration:
                row.insert(0, self._prompt(rng, self.episodes[number][1]))
            rows.append(row)
        return self._join(rows, pinned=self.settings.prompt_timesteps if demonstration else 0)

    def _draw(self, rng: np.random.Generator) -> tuple[int, int]:
        """Draw an episode and a first timestep, every window of equal weight equally likely."""
        place = int(rng.integers(self._ends[-1]))
        number = int(np.searchsorted(self._ends, place, side='right'))
        offset = place - (int(self._ends[number - 1]) if number else 0)
        return number, offset % int(self._starts[number])

    def _prompt(self, rng: np.random.Generator, info: EpisodeInfo) -> _Window:
        """Draw a demonstration of the same task by the same source; half of them end episodes."""
        mates = self._mates.get((info.task, info.source)) or self._mates[
            next(key for key in self._mates if key[0] == info.task)]
        number = mates[int(rng.integers(len(mates)))]
        last = self.episodes[number][1].length - self.settings.prompt_timesteps
        at_end = rng.random() < 0.5
        start = last if at_end else int(rng.integers(last + 1))
        return self._read(number, max(start, 0), self.settings.prompt_timesteps)

    def _window(self, number: int, start: int) -> _Window:
        return self._read(number, start, self.settings.timesteps)

    def _read(self, number: int, start: int, count: int) -> _Window:
        data = read_slice(self.episodes[number][0], start, start + count)
        block = self.tokenizer.encode(data['image'], data['tensor'], data['sent'])
        labels = block.ids.copy()
        labels[:, -block.layout.actions:] = self.tokenizer.encode_action(data['action'])
        targets = [data['target'].get(name, np.full((count, size), np.nan, np.float32))
                   for name, size in self.auxiliary.items()]
        auxiliary = np.concatenate([np.zeros((count, 0), np.float32), *targets], axis=1)
        return _Window(block, labels, (auxiliary - self._mean) / self._std)

    def _join(self, rows: list[list[TokenBlock | _Window]], pinned: int) -> Group:
        """Stack rows of equal layout; ``pinned`` blocks at the front are the prompt."""
        layouts = []
        for part in rows[0]:
            layouts += ([part.block.layout] * len(part.labels) if isinstance(part, _Window)
                        else [part.layout])
        ids = [np.concatenate([(p.block.ids if isinstance(p, _Window) else p.ids).reshape(-1)
                               for p in row]) for row in rows]
        labels = [np.concatenate([(p.labels if isinstance(p, _Window) else p.ids).reshape(-1)
                                  for p in row]) for row in rows]
        patches = [np.concatenate([(p.block.patches if isinstance(p, _Window) else p.patches)
                                   .reshape(-1, 16, 16, 3) for p in row]) for row in rows]
        last = [row[-1] for row in rows]
        auxiliary = [part.auxiliary for part in last if isinstance(part, _Window)]
        return Group(torch.from_numpy(np.stack(ids).astype(np.int64)),
                     torch.from_numpy(np.stack(labels).astype(np.int64)),
                     torch.from_numpy(np.stack(patches)),
                     torch.from_numpy(np.stack(auxiliary).astype(np.float32)),
                     sequence_layout(layouts, pinned))

    def _measure_targets(self) -> tuple[dict[str, int], np.ndarray, np.ndarray]:
        """Return the sizes, mean and deviation of the training-only targets."""
        if not self.settings.auxiliary:
            return {}, np.zeros(0, np.float32), np.ones(0, np.float32)
        some = self.episodes[::max(1, len(self.episodes) // 50)]
        data = [read_slice(path, 0, info.length)['target'] for path, info in some]
        data = [targets for targets in data if targets]  # a real robot's episodes have none
        if not data:
            raise EpisodeError('data.auxiliary is true, but the episodes hold no training-only '
                               'targets; set it to false')
        names = sorted(data[0])
        table = np.concatenate([np.concatenate([d[n] for n in names], axis=1) for d in data])
        return ({n: data[0][n].shape[1] for n in names}, table.mean(0),
                np.maximum(table.std(0), 1e-3))


@dataclass(frozen=True, eq=False)
class _Window:
    """Consecutive timesteps: tokens as read, labels int32 (n, K), training-only targets."""

    block: TokenBlock
    labels: np.ndarray
    auxiliary: np.ndarray
