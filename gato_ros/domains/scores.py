"""The published scores, config/scores.yaml: the two ends of every task's normalised score.

    gato-ros domains score stacking    # measures them, and writes them there
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from gato_ros.config import data_path, from_dict, read_yaml
from gato_ros.domains.domain import Domain, Score, Scores


@dataclass(frozen=True)
class Published:
    """One task's line: its scores, the version they were measured with, first and last seed."""

    random: Score
    expert: Score
    version: str
    seeds: tuple[int, int]


def scores_of(domain: Domain, task: str) -> Scores | None:
    """Return a task's scores, its domain's own or the published ones; None: nobody measured them.

    Raises ConfigError for a file that cannot be read.
    """
    own = domain.scores(task)
    found = None if own else read_scores().get(f'{domain.name}/{domain.full_name(task)}')
    return Scores(found.random, found.expert) if found else own


def other_version(domain: Domain, task: str) -> str:
    """Say that a task's published scores are another version's; '' where they are not.

    A domain that names no version, such as our own arm's, is of one version.
    """
    found = None if domain.scores(task) else read_scores().get(
        f'{domain.name}/{domain.full_name(task)}')
    if found is None or not domain.version or found.version == domain.version:
        return ''
    return (f'{domain.name} is of version {domain.version} here, its published scores are of '
            f'{found.version or "unknown"}: the two may differ')


@lru_cache(maxsize=1)
def read_scores() -> dict[str, Published]:
    """Return all of them, by DOMAIN/TASK."""
    path = data_path('config', 'scores.yaml')
    return {name: from_dict(Published, line, f'{path}: {name}')
            for name, line in read_yaml(path).items()}
