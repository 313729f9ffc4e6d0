"""What there is to learn from: timesteps, tokens, returns, pictures and bytes by task."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from gato_ros.episodes.episode import SUFFIX, EpisodeError, EpisodeInfo, read_info
from gato_ros.spec import TimestepSpec
from gato_ros.tokens.sequence import TimestepTokenizer
from gato_ros.tokens.text import load_text
from gato_ros.training.settings import SourceSettings
from gato_ros.untrusted import Refused, read_text

LONGEST_TEXT = 1 << 30  # bytes of a file of words
COLUMNS = ('domain', 'task', 'episodes', 'timesteps', 'tokens', 'return', 'least', 'most',
           'successes', 'pictures', 'bytes')


@dataclass
class Heap:
    """Episodes of one task, or of one domain; or texts.

    tokens     of timesteps with their actions, or of text; of version 0.1, which does not say its
               specification, none
    returns    of the episodes that have one
    successes  of ``judged`` episodes, those of which it is known
    """

    domain: str
    task: str = ''
    episodes: int = 0
    timesteps: int = 0
    tokens: int = 0
    returns: list[float] = field(default_factory=list)
    successes: int = 0
    judged: int = 0
    pictures: int = 0
    bytes: int = 0

    def add(self, info: EpisodeInfo, size: int) -> None:
        """Count an episode whose file has this many bytes."""
        tokens, pictures = _per_timestep(info.specification) if info.specification else (0, 0)
        self.episodes += 1
        self.timesteps += info.length
        self.tokens += info.length * tokens
        self.pictures += info.length * pictures
        self.bytes += size
        if info.score is not None:
            self.returns.append(info.score)
        if info.success is not None:
            self.judged += 1
            self.successes += info.success

    def figures(self) -> dict[str, Any]:
        """Return what ``--json`` writes."""
        found = self.returns
        return {'domain': self.domain, 'task': self.task, 'episodes': self.episodes,
                'timesteps': self.timesteps, 'tokens': self.tokens,
                'return': {'mean': sum(found) / len(found), 'least': min(found),
                           'most': max(found)} if found else None,
                'successes': self.successes if self.judged else None, 'judged': self.judged,
                'pictures': self.pictures, 'bytes': self.bytes}


@dataclass(frozen=True)
class Inventory:
    """All that some folders or a mixture hold.

    problems  what is missing or cannot be read, one sentence each
    """

    domains: list[Heap]
    tasks: list[Heap]
    problems: list[str]

    def figures(self) -> dict[str, Any]:
        """Return what ``--json`` writes."""
        return {'domains': [heap.figures() for heap in self.domains],
                'tasks': [heap.figures() for heap in self.tasks], 'problems': self.problems}


def take_stock(folders: Iterable[str | Path], sources: Iterable[SourceSettings] = ()
               ) -> Inventory:
    """Return what is in folders of episodes, and in a mixture's sources; nothing is changed."""
    sources, problems = list(sources), []
    domains: dict[str, Heap] = {}
    tasks: dict[tuple[str, str], Heap] = {}
    places = [*folders, *(folder for source in sources for folder in source.folders)]
    for folder in dict.fromkeys(Path(place) for place in places):
        files = sorted(folder.rglob(f'*{SUFFIX}'))
        if not files:
            problems.append(f'{folder} holds no episodes')
        for file in files:
            try:
                info, size = read_info(file), file.stat().st_size
            except EpisodeError as error:
                problems.append(str(error))
                continue
            name = info.domain or info.robot or 'unknown'
            domains.setdefault(name, Heap(name)).add(info, size)
            tasks.setdefault((name, info.task), Heap(name, info.task)).add(info, size)
    words = [_words(source, problems) for source in sources if not source.folders]
    return Inventory(words + list(domains.values()), list(tasks.values()), problems)


def show_stock(found: Inventory) -> None:
    """Print every task, then every domain with its sum, as Markdown."""
    from rich.box import MARKDOWN
    from rich.console import Console
    from rich.table import Table
    for heaps in (found.tasks, found.domains):
        table = Table(box=MARKDOWN)
        for title in COLUMNS:
            table.add_column(title, no_wrap=True)
        for heap in heaps:
            table.add_row(*_line(heap.figures()))
        Console(width=180).print(table)
    whole = [sum(getattr(heap, name) for heap in found.domains)
             for name in ('episodes', 'timesteps', 'tokens', 'bytes')]
    print('{:,} episodes and texts, {:,} timesteps, {:,} tokens, {:,.1f} MB'.format(
        *whole[:3], whole[3] / 1e6))


@lru_cache(maxsize=256)
def _per_timestep(spec: TimestepSpec) -> tuple[int, int]:
    """Return the tokens and the pictures of a timestep."""
    return len(TimestepTokenizer(spec).layout()), len(spec.images)


def _words(source: SourceSettings, problems: list[str]) -> Heap:
    """Count files of words as they stand: documents, exchanges, or the captions of pictures."""
    kind = 'documents' if source.documents else 'dialogue' if source.dialogue else 'pictures'
    heap = Heap(source.name or kind)
    files = sorted({Path(file) for file in _files(source)})
    if not files:
        problems.append(f'{heap.domain}: no file matches')
    for file in files:
        try:
            text = read_text(file, LONGEST_TEXT)
        except (OSError, Refused) as error:
            problems.append(f'{file} cannot be read: {error}')
            continue
        heap.episodes += text.count('\n') if source.pictures else 1
        heap.tokens += len(load_text().encode(text))
        heap.bytes += file.stat().st_size
    for folder in source.pictures:
        pictures = [file for file in Path(folder).rglob('*')
                    if file.suffix.lower() in ('.png', '.jpg', '.jpeg')]
        heap.pictures += len(pictures)
        heap.bytes += sum(file.stat().st_size for file in pictures)
    return heap


def _files(source: SourceSettings) -> Iterator[str]:
    for pattern in (*source.documents, *source.dialogue,
                    *(f'{folder}/captions.jsonl' for folder in source.pictures)):
        yield from glob.glob(pattern)


def _line(figures: dict[str, Any]) -> Sequence[str]:
    returns = figures['return']
    return (figures['domain'], figures['task'] or 'all', f'{figures["episodes"]:,}',
            f'{figures["timesteps"]:,}', f'{figures["tokens"]:,}',
            *([f'{returns[key]:.4g}' for key in ('mean', 'least', 'most')] if returns
              else ['-'] * 3),
            f'{figures["successes"]:,}' if figures['judged'] else '-',
            f'{figures["pictures"]:,}', f'{figures["bytes"]:,}')
