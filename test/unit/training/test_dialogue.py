"""Exchanges: which are learnt from, which are held out, and that a policy says what it learnt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from gato_ros.config import ConfigError
from gato_ros.domains.language.exchanges import read_exchanges
from gato_ros.policy.checkpoint import load_checkpoint
from gato_ros.policy.policy import GatoPolicy
from gato_ros.training.data.mixture import Mixture
from gato_ros.training.settings import SourceSettings, TrainSettings
from gato_ros.training.train import train

ROOT = Path(__file__).resolve().parents[3]
OURS = str(ROOT / 'config/dialogue/*.yaml')
TWO = """exchanges:
- ask: who are you? | what are you?
  held_out: and who are you?
  say: a policy
- ask: is it red?
  say: yes
"""


@pytest.fixture
def two(tmp_path: Path) -> str:
    (tmp_path / 'two.yaml').write_text(TWO)
    return str(tmp_path / 'two.yaml')


def test_wordings_are_learnt_from_or_held_out(two: str) -> None:
    assert read_exchanges([two]) == [('who are you?', 'a policy'), ('what are you?', 'a policy'),
                                     ('is it red?', 'Yes')], 'a bare yes is a word'
    assert read_exchanges([two], held_out=True) == [('and who are you?', 'a policy')]


def test_of_other_peoples_conversations_a_twentieth_is_held_out(tmp_path: Path) -> None:
    """The same question is on one side with all its answers, however it is written."""
    lines = [f'- - What is {n}?\n  - {a}\n  - more\n' for n in range(400) for a in 'xy']
    (tmp_path / 'a.yml').write_text('categories:\n- a\nconversations:\n' + ''.join(lines)
                                    + '- a line by itself\n- - WHAT is 7\n  - z\n')
    learnt, held = (read_exchanges([str(tmp_path / '*.yml')], side) for side in (False, True))
    assert len(learnt) + len(held) == 801 and 20 <= len(held) <= 60
    def openings(side):
        return {''.join(filter(str.isalnum, ask.lower())) for ask, _ in side}
    assert not openings(learnt) & openings(held)


def test_the_shipped_exchanges_answer_each_wording_in_one_way() -> None:
    learnt, held = read_exchanges([OURS]), read_exchanges([OURS], held_out=True)
    assert len(learnt) > 350 and len(held) > 140
    assert len(dict(learnt)) == len(learnt) and not dict(learnt).keys() & dict(held).keys()
    assert {say for _, say in held} <= {say for _, say in learnt}
    assert '/safety/stop' in dict(learnt)['stop'] and '/safety/stop' in dict(held)['stop now']


def test_only_the_answer_has_a_loss(two: str) -> None:
    source = Mixture((SourceSettings(dialogue=(two,)),), 0).sources[0]
    said = set()
    for step in range(60):
        for group in source.draw(np.random.default_rng(step), 3):
            slots = torch.cat([slots for *_, slots in group.layout.targets])
            assert (group.layout.timestep[slots] == 1).all() and len(slots) > 1
            text = source.tokenizer.text
            for ids in group.ids.numpy():
                assert ids[-1] == text.end
                heard = text.decode(ids[(group.layout.timestep == 0).numpy()])
                said.add((heard, text.decode(ids[slots.numpy()])))
    assert len(said) == 9, 'each wording as it is, with a capital, without its mark'
    assert {('who are you', 'a policy'), ('Is it red?', 'Yes'), ('is it red', 'Yes')} <= said


def test_a_policy_says_what_it_has_learnt(two: str, tmp_path: Path) -> None:
    settings = TrainSettings('tiny', 45, 8, mixture=(SourceSettings(dialogue=(two,)),), ema=0.8,
                             learning_rate=5e-3, warmup=5, precision='float32', save_every=45)
    policy = GatoPolicy(load_checkpoint(train(settings, tmp_path / 'run', 'cpu')), 'dialogue')
    for ask, answer in read_exchanges([two]):
        policy.reset()
        assert ''.join(policy.say(ask, longest=20)) == answer


@pytest.mark.parametrize(('text', 'sentence'), [
    ('exchanges: 3', 'has neither exchanges nor conversations'),
    ('[1, 2]', 'has neither exchanges nor conversations'),
    ('exchanges: [{ask: hello}]', 'exchange 1: expected ask, say, and held_out'),
    ('exchanges: [{ask: a, say: b, extra: c}]', 'exchange 1: expected ask, say'),
    ('exchanges: [', 'is not valid YAML')])
def test_what_is_no_dialogue_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / 'bad.yaml').write_text(text)
    with pytest.raises(ConfigError, match=sentence):
        read_exchanges([str(tmp_path / 'bad.yaml')])
    with pytest.raises(ConfigError, match='0 files match and hold no exchanges'):
        read_exchanges([str(tmp_path / '*.none')])
