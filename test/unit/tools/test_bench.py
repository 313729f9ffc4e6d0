"""The bench: its figures are of what it says, and it sees what it should see."""

import json

import numpy as np
import pytest
import torch

from gato_ros.policy.checkpoint import load_checkpoint
from gato_ros.tools.bench.bench import run_bench
from gato_ros.tools.bench.plot import bars
from gato_ros.tools.bench.settings import BenchError, BenchSettings
from gato_ros.tools.bench.stepper import Stepper, percentiles, with_window
from gato_ros.tools.bench.versus import agreement


@pytest.fixture
def settings(tmp_path, make_checkpoint, episodes):
    return BenchSettings(out=tmp_path / 'bench', checkpoint=make_checkpoint(), models=(),
                         parts=('stages', 'versus', 'long', 'agreement'), steps=10,
                         long_steps=100, episodes=episodes)


@pytest.mark.slow
def test_a_run_writes_its_figures_and_compares_them_with_the_bars(settings):
    report = run_bench(settings)
    assert json.loads((settings.out / 'bench.json').read_text()) == report
    assert (settings.out / 'bench.png').stat().st_size > 10_000
    stages = report['stages']['ms']
    assert stages['total']['p50'] > max(stages[name]['p50'] for name in (
        'tokenise', 'encode', 'prefill', 'decode'))
    race = report['versus']['checkpoint']
    assert race['slower_by']['a: whole window for every token']['cpu'] > 3
    for same in report['agreement'].values():
        assert same['steps'] == same['identical'] == 50
    assert report['long']['steps'] == 100
    rows = {row[0]: row[1:] for row in bars(report)}
    assert rows['checkpoint: step against full recomputation'][2] in ('yes', 'no')
    assert rows['greedy tokens as eager float32, 50 steps, full window'][2] == 'yes'
    assert rows['graph at 20 Hz: periods in time, age, p99 / p50'][1:] == (
        'not measured: --part graph', '-')


def test_every_bar_has_its_row_also_where_nothing_was_measured():
    machine = {'device': 'cpu', 'read_GB_per_s': None}
    rows = bars({'machine': machine, 'graph': {'left_out': 'rclpy is not installed'}})
    assert [row[3] for row in rows] == ['-'] * 6
    assert ('1.18b on a GPU, full window', '100 Hz, p99 10 ms', 'no CUDA device was used',
            '-') in rows
    assert 'rclpy is not installed' in [row[2] for row in rows]


def test_a_bar_that_is_missed_says_so():
    machine = {'device': 'NVIDIA H200', 'read_GB_per_s': 4000.0}
    graph = {'minutes': 10, 'scheduling': 'real_time', 'answers': 11964, 'missed_periods': 36,
             'in_time': 0.997, 'sensor_to_command_ms': {'p99': 8.2}, 'p99_over_p50': 1.62}
    growth = {'models': {'1.18b': {'ms': {'total': {'p50': 8.0, 'p99': 11.0}}},
                         '79m': {'ms': {'total': {'p50': 2.0, 'p99': 2.5}}}}}
    rows = {row[0]: row[2:] for row in bars({'machine': machine, 'graph': graph,
                                             'growth': growth})}
    periods = rows['graph, 10 min, scheduling real_time: periods in time']
    assert periods == ('99.70 % of 12000', 'no')
    assert rows['graph: sensor to command, p99'] == ('8.2 ms', 'yes')
    assert rows['graph: p99 / p50'] == ('1.62', 'no')
    assert rows['1.18b on a GPU, full window'] == ('125 Hz, p99 11.0 ms', 'no')
    assert rows['79m on a GPU, full window'] == ('500 Hz, p99 2.5 ms', 'yes')


def test_a_window_is_filled_before_it_is_measured(settings, robot):
    stepper = Stepper(with_window(load_checkpoint(settings.checkpoint), 300), robot)
    stepper.fill()
    length = len(stepper.policy.tokenizer.layout())
    assert stepper.policy.window.tokens == 300 // length * length


def test_answers_that_differ_are_counted_and_not_explained(settings, monkeypatch):
    from gato_ros.policy.cpu import NativeEngine
    decode = NativeEngine.decode

    def spoilt(self, places, slots, window, temperature, noise, logits):
        ids = decode(self, places, slots, window, temperature, noise, logits)
        ids[3] = 32000 + (ids[3] - 32000 + 7) % 1024
        return ids

    monkeypatch.setattr(NativeEngine, 'decode', spoilt)
    found = agreement(settings)['full window']
    assert found['identical'] == 0 and not found['explained']
    assert {difference['token'] for difference in found['differences']} == {3}


def test_percentiles_are_numpys():
    values = np.random.default_rng(0).random(5000)
    row = percentiles(values)
    assert row['n'] == 5000 and row['max'] == round(values.max(), 4)
    assert row['p99.9'] == round(np.percentile(values, 99.9), 4) > row['p50']


def test_an_unknown_part_is_named():
    with pytest.raises(BenchError, match="part 'speed' is not known; choose from stages, versus"):
        BenchSettings(parts=('speed',))


@pytest.mark.parametrize('device', ['tpu', pytest.param('cuda', marks=pytest.mark.skipif(
    torch.cuda.is_available(), reason='this machine has the device'))])
def test_a_device_that_is_not_here_is_named(device):
    with pytest.raises(BenchError, match=f"device is '{device}', expected auto or one that torch"):
        BenchSettings(device=device)
