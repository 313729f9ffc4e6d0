"""A source of wordings: what people say is read, what it means is learnt; no file is behind it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gato_ros.config import ConfigError
from gato_ros.model.architecture import load_architecture
from gato_ros.policy.checkpoint import CheckpointConfig, DomainConfig
from gato_ros.policy.understanding import NOTHING, question
from gato_ros.spec import TimestepSpec
from gato_ros.training.data.mixture import Mixture
from gato_ros.training.domains import domains_of
from gato_ros.training.settings import SourceSettings, TrainSettings

LINE = SourceSettings(wordings='stacking')


@pytest.fixture(scope='module')
def mixture() -> Mixture:
    return Mixture((LINE,), 0)


def test_the_loss_is_on_the_meaning_and_its_end_alone(mixture: Mixture) -> None:
    text, found = mixture.sources[0].tokenizer.text, set()
    for group in (group for step in range(20) for group in mixture.batch(step, 16)):
        slots = torch.cat([slots for *_, slots in group.layout.targets])
        said = int((group.layout.timestep == 0).sum())
        assert slots.tolist() == list(range(said, len(group.layout))), 'nothing is padded'
        for ids in group.ids:
            assert text.decode(ids[:said].numpy()).startswith('do: ') and ids[-1] == text.end
            found.add(text.decode(ids[said:-1].numpy()))
    assert NOTHING in found and 'stack the red block on the blue block' in found
    assert found - {NOTHING} <= mixture.sources[0].sentences


def test_capitals_and_spaces_are_not_heard() -> None:
    assert question('  Put RED\ton Blue ') == question('put red on blue') == 'do: put red on blue'


def test_the_domain_that_is_spoken_to_knows_who_understands(episodes: Path, mixture: Mixture
                                                            ) -> None:
    both = Mixture((SourceSettings((str(episodes),), name='arm'), LINE), 0)
    settings = TrainSettings('tiny', 1, 8, mixture=(LINE,), window_timesteps=1)
    domains = domains_of(both, settings, None)
    assert domains['arm'].wordings == 'wordings' and not domains['wordings'].wordings
    assert domains['wordings'].sentences and domains['wordings'].window_tokens < 256


def test_a_checkpoint_learns_to_understand_later(mixture: Mixture) -> None:
    former = CheckpointConfig(load_architecture('tiny'), {'stacking': DomainConfig(
        TimestepSpec(), sentences=('lift the red block',))})
    settings = TrainSettings('tiny', 1, 8, mixture=(LINE,))
    domains = domains_of(mixture, settings, former)
    assert not former.domains['stacking'].wordings
    assert domains['stacking'].wordings == 'wordings'
    assert domains['stacking'].sentences == former.domains['stacking'].sentences


def test_a_domain_without_a_grammar_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^wordings is 'atari', expected one of the domains"):
        Mixture((SourceSettings(wordings='atari'),), 0)
    with pytest.raises(ConfigError, match='folders and wordings are given, expected one of them'):
        SourceSettings(('x',), wordings='stacking')
