"""How often a policy understands what people say: words alone, nothing is rolled out.

    gato-ros evaluate --wordings --checkpoint runs/generalist/checkpoint

Commands in wordings that are held out (whole patterns, or words and frames), in those of the
training, and sentences that are no commands; the policy is told each as at control.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from gato_ros.config import ConfigError
from gato_ros.domains.domain import Seeds
from gato_ros.domains.language.wordings import NOTHING, Wording, elsewhere, task_of, word
from gato_ros.evaluation.statistics import Rate
from gato_ros.policy.policy import GatoPolicy

GROUPS = ('held-out wordings', 'wordings of the training', 'sentences about nothing here')


@dataclass(frozen=True)
class Heard:
    """One sentence: what was said, what it means, what the policy understood ('': nothing).

    kind  of task; new: what of it is held out
    """

    group: str
    kind: str
    new: str
    said: str
    meant: str
    understood: str


def hear(policy: GatoPolicy, count: int, split: str = 'test') -> Iterator[Heard]:
    """Tell a policy ``count`` sentences of each group, one for each seed of a split.

    Raises ConfigError for a policy that has not learnt what sentences mean, or none with wordings.
    """
    if not policy.wordings:
        raise ConfigError('the checkpoint has not learnt what sentences mean: train it with a '
                          'source of wordings beside this domain, such as {wordings: stacking}')
    tasks = {}
    for known in policy.sentences:
        try:
            tasks[known] = task_of(known)[0]
        except ConfigError:  # a person's own task
            continue
    if not tasks:
        raise ConfigError('the checkpoint was trained with no sentence that has wordings, '
                          'expected some such as "stack the red block on the blue block"')
    for number, group in enumerate(GROUPS):
        for seed in Seeds().split(split)[:count]:
            rng = np.random.default_rng((seed, 9, number))
            wording = _drawn(rng, group, sorted(tasks))
            policy.reset(wording.said)
            yield Heard(group, tasks.get(wording.meant, 'nothing'), wording.new, wording.said,
                        wording.meant, policy.understood)


def _drawn(rng: np.random.Generator, group: str, tasks: Sequence[str]) -> Wording:
    if group == GROUPS[-1]:
        return elsewhere(rng, held_out=True)
    return word(rng, held_out=group == GROUPS[0], meant=tasks[int(rng.integers(len(tasks)))])


def summarise(heard: Iterable[Heard]) -> list[dict[str, Any]]:
    """Return a row for each group and for each kind of task and novelty in it.

    A row holds n, and with Wilson's intervals the shares that were understood rightly, as another
    task, and as nothing; nothing is right of what is no command.
    """
    cells: dict[tuple[str, str], list[Heard]] = {}
    for one in heard:
        parts = ['all'] if one.meant == NOTHING else ['all', one.kind]
        for part in [*parts, *([f'new {one.new}'] if one.new and one.meant else [])]:
            cells.setdefault((one.group, part), []).append(one)
    rows = []
    for (group, part), mine in sorted(cells.items(), key=lambda cell: GROUPS.index(cell[0][0])):
        counts = {'right': sum(one.understood == one.meant for one in mine),
                  'another': sum(one.understood not in (one.meant, '') for one in mine),
                  'nothing': sum(one.understood == '' != one.meant for one in mine)}
        rows.append({'group': group, 'of': part, 'n': len(mine)} | {
            name: {'share': Rate(found, len(mine)).value,
                   'interval': list(Rate(found, len(mine)).interval)}
            for name, found in counts.items()})
    return rows


def report(heard: Sequence[Heard]) -> dict[str, Any]:
    """Return everything that ``--json`` writes."""
    return {'summary': summarise(heard), 'sentences': [asdict(one) for one in heard]}


def show(heard: Sequence[Heard], wrong: int = 12) -> None:
    """Print the table as Markdown, and the first sentences that were taken for something else."""
    from rich.box import MARKDOWN
    from rich.console import Console
    from rich.table import Table
    table = Table(box=MARKDOWN)
    for title in ('sentences', 'of', 'n', 'understood', 'as another task', 'as nothing'):
        table.add_column(title, no_wrap=True)
    for row in summarise(heard):
        shares = [f'{100 * row[name]["share"]:.1f} % ({100 * low:.1f} to {100 * high:.1f})'
                  for name in ('right', 'another', 'nothing')
                  for low, high in [row[name]['interval']]]
        table.add_row(row['group'], row['of'], str(row['n']), *shares)
    Console(width=160).print(table)
    for one in [one for one in heard if one.understood not in (one.meant, '')][:wrong]:
        print(f'{one.said!r} was taken as {one.understood!r}, expected {one.meant or "nothing"!r}')
