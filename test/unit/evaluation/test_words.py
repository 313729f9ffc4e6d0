"""How text is judged: the 5-gram model by hand, and a policy's bits beside what it was taught."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from gato_ros.config import ConfigError
from gato_ros.evaluation.words.ngram import NGram
from gato_ros.evaluation.words.report import WordSettings, evaluate_words, show
from gato_ros.evaluation.words.text import of_documents, of_exchanges
from gato_ros.policy.checkpoint import CheckpointError, load_checkpoint
from gato_ros.training.settings import SourceSettings, TrainSettings
from gato_ros.training.train import train


@pytest.fixture(scope='module')
def talker(tmp_path_factory: pytest.TempPathFactory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp('talker')
    (folder / 'a.yaml').write_text(
        'exchanges:\n- {ask: is it red, held_out: is that red, say: yes it is red}\n'
        '- {ask: is it blue, held_out: is that blue, say: no it is not blue}\n')
    settings = TrainSettings('tiny', 50, 8, mixture=(SourceSettings(
        dialogue=(str(folder / 'a.yaml'),)),), ema=0.8, learning_rate=5e-3, warmup=5,
        precision='float32', save_every=50)
    return load_checkpoint(train(settings, folder / 'run', 'cpu')), str(folder / 'a.yaml')


def test_the_ngram_model_by_hand() -> None:
    """Two tokens long, on 0 1 0 1 2 of four tokens; (0, 1) twice, (1, 0) and (1, 2) once.

    In how many contexts: 0 in one and the beginning, 1 in one, 2 in one; so P(1) is
    (1 - 0.75 + 0.75 * 3 / 4) / 4 and P(1 | 0) is (2 - 0.75 + 0.75 * P(1)) / 2.
    """
    model = NGram([[0, 1, 0, 1, 2]], 4, order=2)
    alone = (0.25 + 0.5625) / 4
    assert 2 ** -model.bits([1]) == pytest.approx(alone)
    assert 2 ** -model.bits([0, 1], 1) == pytest.approx((1.25 + 0.75 * alone) / 2)
    assert model.bits([0, 1]) == pytest.approx(model.bits([0]) + model.bits([0, 1], 1))
    assert 2 ** -model.bits([3, 1], 1) == pytest.approx(alone), 'nothing is known behind 3'


def test_chances_are_chances_behind_everything() -> None:
    ids = np.random.default_rng(0).integers(0, 6, 300)
    model = NGram([ids[:150], ids[150:]], 7)
    for before in ([], [2], [0, 3], list(ids[40:44]), list(ids[40:50]), [6, 6, 6]):
        total = sum(2 ** -model.bits([*before, last], len(before)) for last in range(7))
        assert total == pytest.approx(1)


def test_a_policy_knows_what_it_was_taught(talker) -> None:
    checkpoint, _ = talker
    taught = [('is it red', 'yes it is red'), ('is it blue', 'no it is not blue')]
    known = of_exchanges(checkpoint, taught, taught)
    strange = of_exchanges(checkpoint, taught, [(ask, 'quite another sentence')
                                                for ask, _ in taught])
    assert known.policy < 0.3 < 1.5 < strange.policy
    assert known.ngram < strange.ngram and (known.texts, known.bytes) == (2, 13 + 17)


def test_words_are_judged_and_told(talker, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint, file = talker
    report = evaluate_words(checkpoint, WordSettings(4, 'test', (file,)))
    assert report.seeds is None and 'no domain of pictures of front and wrist' in report.unknown[0]
    assert report.exact == (2, 2) and report.bits['dialogue'].policy < 1
    show(report)
    told = capsys.readouterr().out
    assert 'word for word: 100.0 % (n = 2' in told and 'is that red -> yes it is red' in told
    assert 'a 5-gram model' in told


def test_documents_are_judged_in_pieces(talker, tmp_path: Path) -> None:
    checkpoint, _ = talker
    (tmp_path / 'learnt.md').write_text('the red block is on the table. ' * 30)
    (tmp_path / 'same.md').write_text('the red block is on the table. ' * 200)
    (tmp_path / 'other.md').write_text('Zwölf Boxkämpfer jagen Viktor. ' * 3)
    same, other = (of_documents(checkpoint, [str(tmp_path / 'learnt.md')],
                                [str(tmp_path / name)]) for name in ('same.md', 'other.md'))
    assert same.texts == 4 and 6000 < same.bytes < 6200 and same.ngram < 0.2 < 3 < other.ngram
    with pytest.raises(ConfigError, match=r'learnt\.md is learnt from and judged by'):
        of_documents(checkpoint, [str(tmp_path / '*.md')], [str(tmp_path / 'learnt.md')])
    with pytest.raises(ConfigError, match='no held-out text was found'):
        of_documents(checkpoint, [str(tmp_path / '*.md')], [str(tmp_path / '*.none')])


def test_what_cannot_be_judged_is_one_sentence(make_checkpoint) -> None:
    with pytest.raises(ConfigError, match="split is 'training', expected test or validation"):
        WordSettings(4, 'training', ())
    with pytest.raises(ConfigError, match='documents and learnt are not both given'):
        WordSettings(4, 'test', (), ('*.md',))
    with pytest.raises(CheckpointError, match=r'front and wrist, .*; the checkpoint has no'):
        evaluate_words(load_checkpoint(make_checkpoint()), WordSettings(4, 'test', ()))
