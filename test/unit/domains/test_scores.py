"""The published scores: that another version's are never taken for this one's in silence."""

from __future__ import annotations

import pytest

from gato_ros.domains import scores
from gato_ros.domains.domain import Domain, Score, TaskSpec


def test_scores_of_another_version_are_named_with_both(monkeypatch: pytest.MonkeyPatch) -> None:
    class Scored(Domain):
        name, version = 'scored', 'worlds 1.0'
        tasks = dict.fromkeys(('walk', 'run'), TaskSpec('some'))
        specification = environment = demonstrator = None

    ends = Score(0.0, 1.0, 50), Score(1.0, 1.0, 50)
    line = scores.Published(*ends, 'worlds 1.0', (0, 49))
    monkeypatch.setattr(scores, 'read_scores', lambda: {'scored/walk': line})
    domain = Scored()
    assert scores.other_version(domain, 'walk') == ''
    domain.version = 'worlds 2.0'
    assert scores.other_version(domain, 'run') == '', 'nobody measured it'
    assert scores.other_version(domain, 'walk') == (
        'scored is of version worlds 2.0 here, its published scores are of worlds 1.0: the two '
        'may differ')
    domain.version = ''
    assert scores.other_version(domain, 'walk') == '', 'it knows of no versions'
