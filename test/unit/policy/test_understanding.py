"""What a sentence means is said by the weights before anything moves; what means nothing is told.

The weights are a tiny model that has learnt five sentences by heart, in the form of the training.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gato_ros.config import ConfigError
from gato_ros.evaluation.words.understood import GROUPS, Heard, hear, summarise
from gato_ros.model.architecture import load_architecture
from gato_ros.model.gato import Gato
from gato_ros.policy.checkpoint import (
    CheckpointConfig,
    DomainConfig,
    load_checkpoint,
    save_checkpoint,
)
from gato_ros.policy.policy import GatoPolicy
from gato_ros.policy.understanding import LONGEST, NOTHING, question
from gato_ros.spec import TimestepSpec
from gato_ros.training.data.wordings import WordingSource
from gato_ros.training.loss import MaskedLoss
from gato_ros.training.settings import SourceSettings

RED_ON_BLUE, BLUE_ON_RED = (f'stack the {a} block on the {b} block'
                            for a, b in (('red', 'blue'), ('blue', 'red')))
TAUGHT = {'put red onto blue': RED_ON_BLUE, 'rot unter blau': BLUE_ON_RED,
          'lift red': 'lift the red block', 'make me a cup of coffee': NOTHING,
          'привет': NOTHING}


@pytest.fixture(scope='module')
def folder(tmp_path_factory, robot):
    """A checkpoint that knows two sentences of the arm, and what five others mean."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    source = WordingSource('wordings', SourceSettings(wordings='stacking'))
    text, groups = source.tokenizer.text, []
    for said, meant in TAUGHT.items():
        asked, answer = text.encode(question(said)), np.append(text.encode(meant), text.end)
        groups.append(source._group((len(asked), len(answer)), [np.append(asked, answer)]))
    model = Gato(load_architecture('tiny'), {})
    loss, optimizer = MaskedLoss(model, 0.0, 0.0, 0.0), torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(300):
        found, _ = loss(groups)
        if float(found.detach()) < 0.02:
            break
        optimizer.zero_grad()
        found.backward()
        optimizer.step()
    out = tmp_path_factory.mktemp('understanding')
    save_checkpoint(out, CheckpointConfig(model.arch, {
        'stacking': DomainConfig(robot.timestep(), 200, 1, wordings='wordings',
                                 sentences=(RED_ON_BLUE, BLUE_ON_RED)),
        'plain': DomainConfig(robot.timestep(), 200, 1),
        'wordings': DomainConfig(TimestepSpec(), LONGEST + 66, 2,
                                 sentences=tuple(source.sentences))}), model.state_dict())
    return out


@pytest.fixture(scope='module')
def policy(folder):
    return GatoPolicy(load_checkpoint(folder), 'stacking', engine='eager')


@pytest.mark.parametrize('said', ['put red onto blue', '  PUT red\tonto Blue ', RED_ON_BLUE,
                                  RED_ON_BLUE.title()])
def test_what_is_pinned_is_the_sentence_of_the_training(policy, robot, said) -> None:
    policy.reset(said)
    assert (policy.understood, policy.refusal) == (RED_ON_BLUE, '')
    acted = policy.act(robot.example_observation(3)).tokens
    policy.reset(RED_ON_BLUE)
    assert (acted == policy.act(robot.example_observation(3)).tokens).all()


def test_the_other_way_round_is_understood_so(policy) -> None:
    policy.reset('rot unter blau')
    assert policy.understood == BLUE_ON_RED


@pytest.mark.parametrize('said', ['make me a cup of coffee', 'привет', 'coffee ' * 500])
def test_what_means_nothing_is_told_and_not_acted_on(policy, robot, said) -> None:
    policy.reset(said)
    assert policy.understood == '' and policy.window.tokens == 0
    assert policy.refusal.startswith(f"I do not understand: '{said[:80]}")
    assert len(policy.refusal) < 120
    with pytest.raises(ValueError, match=r'^I do not understand'):
        policy.act(robot.example_observation(0))
    policy.reset(RED_ON_BLUE)
    assert policy.refusal == '' and len(policy.act(robot.example_observation(0)).tokens) == 8


def test_what_is_understood_and_was_not_learnt_is_refused_by_name(policy) -> None:
    policy.reset('Lift RED')
    assert policy.refusal == ("I understand 'Lift RED' as 'lift the red block', which I have not "
                              'learnt')


def test_a_sentence_may_be_taken_as_it_is(policy, robot) -> None:
    policy.reset('make me a cup of coffee', literal=True)
    assert policy.understood == 'make me a cup of coffee' and policy.refusal == ''
    assert len(policy.act(robot.example_observation(0)).tokens) == 8


def test_nothing_said_is_no_refusal_and_a_checkpoint_without_is_as_ever(folder, policy) -> None:
    policy.reset()
    assert policy.understood == policy.refusal == ''
    plain = GatoPolicy(load_checkpoint(folder), 'plain', engine='eager')
    plain.reset('put red onto blue')
    assert plain.understood == 'put red onto blue' and plain.refusal == ''
    with pytest.raises(ConfigError, match='has not learnt what sentences mean: train it with'):
        next(hear(plain, 1))


def test_the_compiled_engine_understands_the_same(folder) -> None:
    policy = GatoPolicy(load_checkpoint(folder), 'stacking')
    policy.warm_up()
    for said, meant in TAUGHT.items():
        policy.reset(said)
        assert policy.understood == (meant if meant in policy.sentences else '')


def test_who_is_to_understand_must_be_there(robot) -> None:
    with pytest.raises(ConfigError, match=r"^wordings of the domain 'arm' is 'words', expected"):
        CheckpointConfig(load_architecture('tiny'), {
            'arm': DomainConfig(robot.timestep(), wordings='words')})


def test_every_seed_is_a_sentence_of_its_own(policy) -> None:
    heard = list(hear(policy, 4))
    assert [one.group for one in heard] == [group for group in GROUPS for _ in range(4)]
    assert len({one.said for one in heard}) == 12 and heard == list(hear(policy, 4))
    assert {one.kind for one in heard} == {'stack', 'nothing'}, 'what the policy was trained on'


def test_the_shares_are_counted_by_group_and_novelty() -> None:
    command, nothing = GROUPS[0], GROUPS[-1]
    rows = {(row['group'], row['of']): row for row in summarise([
        Heard(command, 'stack', 'word', 'a', RED_ON_BLUE, RED_ON_BLUE),
        Heard(command, 'stack', 'pattern', 'b', RED_ON_BLUE, BLUE_ON_RED),
        Heard(command, 'stack', 'pattern', 'c', RED_ON_BLUE, ''),
        Heard(nothing, 'nothing', 'pattern', 'd', '', ''),
        Heard(nothing, 'nothing', 'pattern', 'e', '', RED_ON_BLUE)])}
    row = rows[command, 'all']
    assert row['n'] == 3
    assert [row[key]['share'] for key in ('right', 'another', 'nothing')] == [1 / 3] * 3
    assert rows[command, 'new word']['right']['share'] == 1.0
    row = rows[nothing, 'all']
    assert [row[key]['share'] for key in ('right', 'another', 'nothing')] == [0.5, 0.5, 0.0]
