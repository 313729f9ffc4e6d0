"""What an evaluation of words found: rates of exact answers, bits per byte, and samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any, TypeVar

from gato_ros.config import ConfigError
from gato_ros.domains.domain import Seeds
from gato_ros.domains.language.exchanges import read_exchanges
from gato_ros.domains.language.scenes import ROBOT
from gato_ros.evaluation.statistics import Rate
from gato_ros.evaluation.words.scenes import LONGEST, Said, ask_scenes, rates
from gato_ros.evaluation.words.text import BitsPerByte, of_documents, of_exchanges
from gato_ros.policy.checkpoint import Checkpoint, CheckpointError
from gato_ros.policy.words import Speaker
from gato_ros.robot import load_robot
from gato_ros.untrusted import plain

SAMPLES = 10
T = TypeVar('T')
Progress = Callable[[Iterable[T], int], Iterable[T]]


@dataclass(frozen=True)
class WordSettings:
    """What is asked: moments of seeds, held-out exchanges of files, held-out documents.

    dialogue, documents, learnt  patterns of files; ``learnt`` of documents that were trained on
    """

    scenes: int
    split: str
    dialogue: tuple[str, ...]
    documents: tuple[str, ...] = ()
    learnt: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.split not in ('test', 'validation'):
            raise ConfigError(f'split is {self.split!r}, expected test or validation')
        if bool(self.documents) != bool(self.learnt):
            raise ConfigError('documents and learnt are not both given, expected the files to '
                              'judge by beside those that were trained on')

    @property
    def seeds(self) -> range:
        """Of the scenes."""
        return Seeds().split(self.split)[:self.scenes]


@dataclass(frozen=True)
class WordReport:
    """Everything that ``--json`` writes.

    unknown    what the checkpoint has no domain for, in words
    rates      of a group, or of a kind of question: right, of how many, seeing grey
    bits       of dialogue and of documents
    exact      right answers to held-out exchanges, and how many there are
    scenes, exchanges  all that was said; of an exchange: question, right answers, said
    """

    seeds: tuple[int, int] | None
    unknown: list[str]
    rates: dict[str, tuple[int, int, int]]
    kinds: dict[str, tuple[int, int, int]]
    bits: dict[str, BitsPerByte]
    exact: tuple[int, int] | None
    scenes: list[Said]
    exchanges: list[tuple[str, list[str], str]]


def evaluate_words(checkpoint: Checkpoint, settings: WordSettings,
                   progress: Progress[Any] = lambda jobs, total: jobs) -> WordReport:
    """Ask about scenes and exchanges, as far as the checkpoint knows domains of them.

    Raises CheckpointError where it knows neither.
    """
    cameras = [camera.name for camera in load_robot(ROBOT).cameras]
    unknown: list[str] = []
    scenes: list[Said] = []
    exchanges: list[tuple[str, list[str], str]] = []
    bits: dict[str, BitsPerByte] = {}
    seer, talker = (_speaker(checkpoint, shown, unknown) for shown in (cameras, []))
    if seer is None and talker is None:
        raise CheckpointError('; '.join(unknown))
    if seer is not None and settings.scenes:
        by_seed = (list(some) for _, some in groupby(ask_scenes(seer, settings.seeds),
                                                     key=lambda said: said.seed))
        scenes = [one for some in progress(by_seed, settings.scenes) for one in some]
    if talker is not None:
        held_out = read_exchanges(settings.dialogue, held_out=True)
        bits['dialogue'] = of_exchanges(checkpoint, read_exchanges(settings.dialogue), held_out)
        exchanges = list(_talk(talker, held_out))
        if settings.documents:
            bits['documents'] = of_documents(checkpoint, settings.learnt, settings.documents)
    right = sum(said in answers for _, answers, said in exchanges)
    return WordReport(
        (settings.seeds[0], settings.seeds[-1]) if scenes else None, unknown,
        _counts(scenes, 'group'), _counts(scenes, 'kind'), bits,
        (right, len(exchanges)) if exchanges else None, scenes, exchanges)


def _speaker(checkpoint: Checkpoint, cameras: list[str], unknown: list[str]) -> Speaker | None:
    try:
        return Speaker(checkpoint, cameras)
    except CheckpointError as error:
        unknown.append(str(error))
        return None


def _talk(speaker: Speaker, held_out: list[tuple[str, str]]
          ) -> Iterator[tuple[str, list[str], str]]:
    """Ask each question once; some have several right answers."""
    answers: dict[str, list[str]] = {}
    for ask, say in held_out:
        answers.setdefault(ask, []).append(say)
    for ask, right in answers.items():
        yield ask, right, ''.join(speaker.answer(ask, longest=LONGEST)).strip()


def _counts(scenes: list[Said], key: str) -> dict[str, tuple[int, int, int]]:
    return {name: (right.successes, right.n, blind.successes)
            for name, (right, blind) in rates(scenes, key).items()}


def show(report: WordReport) -> None:
    """Print the rates and the bits as Markdown, and samples as they come."""
    for sentence in report.unknown:
        print(plain(sentence))
    if report.seeds:
        print(f'| seeds {report.seeds[0]} to {report.seeds[1]} | exact | seeing grey |')
        print('| --- | --- | --- |')
        for name, (right, n, blind) in report.rates.items():
            print(f'| {name} | {Rate(right, n)} | {100 * blind / n:.1f} % |')
        worst = sorted(report.kinds.items(), key=lambda item: item[1][0] / item[1][1])[:5]
        print('worst:', ', '.join(f'{name} {right} of {n}' for name, (right, n, _) in worst))
    if report.exact:
        print(f'held-out exchanges, word for word: {Rate(*report.exact)}')
    for name, found in report.bits.items():
        print(f'{name}, held out: {found.policy:.3f} bits per byte, a 5-gram model '
              f'{found.ngram:.3f} ({found.texts} texts, {found.bytes} bytes)')
    for ask, _, said in islice(report.exchanges, SAMPLES):
        print(f'  {plain(ask)} -> {plain(said)}')
