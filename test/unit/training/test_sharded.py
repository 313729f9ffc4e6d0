"""Weights split over processes: any number of them makes the same run, and nothing is lost."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from gato_ros.config import ConfigError, to_dict
from gato_ros.model.architecture import load_architecture
from gato_ros.model.gato import Gato
from gato_ros.policy.checkpoint import load_checkpoint
from gato_ros.training.data.mixture import Mixture
from gato_ros.training.loss import MaskedLoss
from gato_ros.training.settings import SourceSettings, TrainSettings
from gato_ros.training.train import RunError, train

STOPPED = Path(__file__).resolve().parents[1] / 'helpers' / 'stopped_training.py'


def settings(episodes, **changes):
    data = SourceSettings((str(episodes),), timesteps=2, prompt_fraction=0.25,
                          prompt_timesteps=1, sentence_fraction=0.25)
    values = {'steps': 6, 'batch': 8, 'learning_rate': 1e-3, 'warmup': 2, 'smoothing_bins': 2.0,
              'auxiliary_weight': 1.0, 'history_dropout': 0.5, 'save_every': 3, 'log_every': 1,
              'precision': 'float32', 'parts': 2, 'sharded': True}
    return TrainSettings('tiny', robot='panda_sim', data=data, **{**values, **changes})


def run(count, chosen, out, last=10**9):
    """Train in ``count`` processes up to a step."""
    file = out.with_suffix('.yaml')
    file.write_text(yaml.safe_dump(to_dict(chosen)))
    launcher = ['-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', str(count)]
    done = subprocess.run(
        [sys.executable, *launcher, str(STOPPED), str(file), str(out), str(last)],
        capture_output=True, text=True, timeout=240, check=False,
        env={**os.environ, 'OMP_NUM_THREADS': '1'})
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def losses(out):
    rows = [json.loads(line) for line in (out / 'log.jsonl').read_text().splitlines()]
    assert [row['step'] for row in rows] == list(range(1, len(rows) + 1))
    return [value for row in rows for value in (row['tokens'], row['auxiliary'])]


@pytest.mark.slow
def test_another_number_of_processes_goes_on_with_the_same_losses(episodes, tmp_path):
    """From two to one and from one to two, stopped two steps after what was saved last."""
    chosen = settings(episodes)
    train(chosen, tmp_path / 'one', 'cpu')
    expected = losses(tmp_path / 'one')
    assert len(expected) == 12
    for first, then in ((2, 1), (1, 2)):
        out = tmp_path / f'{first}-{then}'
        run(first, chosen, out, last=5)
        assert len(losses(out)) == 10
        assert f'{then} process(es)' in run(then, chosen, out)
        assert losses(out) == pytest.approx(expected, rel=0, abs=1e-6)
        weights, mine = (load_file(folder / 'checkpoint' / 'model.safetensors')
                         for folder in (tmp_path / 'one', out))
        assert weights.keys() == mine.keys()
        assert max(float((weights[name] - mine[name]).abs().max()) for name in mine) < 1e-4


@pytest.mark.slow
def test_the_state_is_split_and_the_checkpoint_is_whole(episodes, tmp_path):
    run(2, settings(episodes, steps=3), tmp_path / 'run')
    place, = (tmp_path / 'run' / 'state').iterdir()
    sizes = [file.stat().st_size for file in place.glob('*.distcp')]
    assert place.name == '000000003' and len(sizes) == 2
    assert max(sizes) < 0.6 * sum(sizes), 'each process writes its half'
    checkpoint = load_checkpoint(tmp_path / 'run' / 'checkpoint')
    assert checkpoint.config.provenance['step'] == 3


def test_one_process_alone_goes_on_bit_for_bit(episodes, tmp_path):
    whole = train(settings(episodes, steps=4, save_every=2), tmp_path / 'whole', 'cpu')
    run(1, settings(episodes, steps=4, save_every=2), tmp_path / 'halves', last=3)
    halves = train(settings(episodes, steps=4, save_every=2), tmp_path / 'halves', 'cpu')
    a, b = (load_file(folder / 'model.safetensors') for folder in (whole, halves))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_state_that_is_not_whole_is_passed_over_and_a_damaged_one_named(episodes, tmp_path):
    chosen = settings(episodes, steps=2, save_every=1)
    train(chosen, tmp_path / 'run', 'cpu')
    torn = tmp_path / 'run' / 'state' / '000000009'
    torn.mkdir()
    (torn / '__0_0.distcp').write_bytes(b'half')
    train(chosen, tmp_path / 'run', 'cpu')
    (torn / '.metadata').write_bytes(b'half')
    with pytest.raises(RunError, match='000000009 is damaged'):
        train(chosen, tmp_path / 'run', 'cpu')


def test_parts_that_do_not_fit_are_refused(episodes):
    with pytest.raises(ConfigError, match='parts is 3, expected a divisor of the batch, 8, or 0'):
        settings(episodes, parts=3)
    with pytest.raises(ConfigError, match='sharded is true and low_rank 2'):
        settings(episodes, low_rank=2)


def test_recomputing_changes_no_bit_and_keeps_less(episodes):
    """With stochastic depth, whose draws must be the same the second time."""
    data = settings(episodes).data
    mixture = Mixture((dataclasses.replace(data, robot='panda_sim'),), 0)
    found = []
    for recompute in (False, True):
        torch.manual_seed(0)
        arch = dataclasses.replace(load_architecture('tiny'), layers=4, stochastic_depth=0.5)
        model = Gato(arch, mixture.auxiliary)
        model.recompute = recompute
        module, kept = MaskedLoss(model, 2.0, 0.5, 1.0).train(), []

        def keep(value, kept=kept):
            kept.append(value.numel())
            return value
        torch.manual_seed(1)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
            loss, _ = module(mixture.batch(0, 8))
        loss.backward()
        found.append((loss.detach(), [p.grad for p in model.parameters()], sum(kept)))
    (loss, gradients, before), (again, same, after) = found
    assert torch.equal(loss, again)
    assert all(torch.equal(a, b) for a, b in zip(gradients, same, strict=True) if a is not None)
    assert after < 0.5 * before
