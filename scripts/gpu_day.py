"""What scripts/gpu_day.sh runs: tests, bars, profiles, a training; one JSON, one plot.

Every part has its time, and what fails is a sentence in the JSON while the others go on. The JSON
is written anew after each part, so a machine that is taken away leaves what was measured.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import yaml
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

import gato_ros
from gato_ros.config import to_dict
from gato_ros.model.architecture import load_architecture
from gato_ros.model.gato import Gato, count_parameters
from gato_ros.policy import cpu, cuda
from gato_ros.policy.checkpoint import GENERALIST, load_checkpoint, save_checkpoint
from gato_ros.robot import load_robot
from gato_ros.tools.bench.stepper import Stepper, decode_rates, random_checkpoint, sample
from gato_ros.training import processes
from gato_ros.training.data.mixture import Mixture
from gato_ros.training.loss import MaskedLoss
from gato_ros.training.settings import TrainSettings, load_settings
from gato_ros.training.step import make_optimizer, optimise
from gato_ros.training.train import train

ROOT = Path(__file__).resolve().parents[1]
SHARD = 15_000_000  # bytes of a file
FORMERLY = 14_000  # timesteps/s of `small` on an H100, docs/experiments.md
TOP = 15  # operations of a profile

ELSEWHERE = {  # bars that need no card: what measures them
    'training on two CPU cores, share of the matrix rate': 'benchmarks/training.py',
    'a draft by a head, passes for 8 tokens': 'gato-ros bench',
    '79m on two CPU cores, full window': 'gato-ros bench --part versus --threads 2',
    'p99 / p50 of the graph at 20 Hz': 'gato-ros bench --part graph --minutes 10',
    'collect over two Ray nodes against one': 'benchmarks/cluster.py',
    'resume of FSDP2 with another number of processes': 'test/unit/training/test_sharded.py'}


@dataclass(frozen=True)
class Sizes:
    """What is measured: on a card, or with sizes that any machine computes in seconds.

    trained   preset -> sequences in a batch
    controlled, steps  presets, and control steps of each
    rounds    optimiser steps of each measurement
    pace_steps  after which the training's pace is read, thrice
    spare_s   that are left for writing
    recompute  presets too large to keep all values of a step
    """

    trained: dict[str, int]
    controlled: tuple[str, ...]
    steps: int
    rounds: int
    episodes: int
    task: str
    batch: int
    tests: tuple[str, ...]
    tests_s: float
    pace_steps: int
    spare_s: float
    recompute: tuple[str, ...] = ('364m',)


CARD = Sizes({'small': 1024, '79m': 512, '364m': 256}, ('small', '79m', '1.18b'), 300, 20, 3000,
             'stack_any_pair_wide', 1024, ('-m', 'gpu', 'test/unit'), 120.0, 5, 30.0)
TINY = Sizes({'tiny': 8}, ('tiny',), 5, 2, 2, 'reach_red_narrow', 8,
             ('-k', 'refused', 'test/unit/policy/test_cuda_engine.py'), 120.0, 1, 0.0)


class Day:
    """The parts, and what they found."""

    def __init__(self, out: Path, minutes: float, sizes: Sizes, work: Path) -> None:
        self.out, self.sizes, self.work = out, sizes, work
        self.end = time.monotonic() + 60 * minutes
        self.device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
        self.found: dict[str, Any] = {'rehearsal': sizes is TINY, 'parts': {}, 'bars': [],
                                     'elsewhere': ELSEWHERE}
        out.mkdir(parents=True, exist_ok=True)

    @property
    def left_s(self) -> float:
        """Seconds until the end."""
        return self.end - time.monotonic()

    def part(self, name: str, measure: Callable[[], dict[str, Any]]) -> None:
        """Run one part, write down what it found or why it found nothing."""
        print(f'{name} ({self.left_s:.0f} s left)', flush=True)
        start = time.monotonic()
        try:
            if self.left_s < 0:
                raise TimeoutError('no time was left')
            result = measure()
        except Exception as error:  # whatever it is, the other parts have their minute
            said = (str(error).splitlines() or [''])[0]
            result = {'failed': f'{type(error).__name__}: {said}'}
            print(f'  {result["failed"]}', file=sys.stderr)
        self.found['parts'][name] = {**result, 'took_s': round(time.monotonic() - start, 1)}
        self.write()

    def bar(self, what: str, wanted: float, measured: float, unit: str, least: bool = True
            ) -> None:
        """Add a row: ``wanted`` is the least, or the most, that reaches the bar."""
        reached = measured >= wanted if least else measured <= wanted
        self.found['bars'].append({'what': what, 'bar': wanted, 'measured': round(measured, 4),
                                   'unit': unit, 'reached': reached})

    def write(self) -> None:
        """Write the JSON."""
        (self.out / 'gpu_day.json').write_text(json.dumps(self.found, indent=1) + '\n',
                                               encoding='utf-8')

    def machine(self) -> dict[str, Any]:
        """What the figures depend on; the rates are measured now."""
        cuda_here = self.device.type == 'cuda'
        self.rate = processes.matrix_rate(self.device, torch.bfloat16)
        self.read = cuda.read_bandwidth('cuda') if cuda_here else cpu.read_bandwidth()
        return {'device': torch.cuda.get_device_name() if cuda_here else 'cpu',
                'torch': torch.__version__, 'version': gato_ros.__version__,
                'matrix_TFLOP_per_s': self.rate / 1e12, 'read_GB_per_s': self.read / 1e9}

    def tests(self) -> dict[str, Any]:
        """How many of the GPU's tests pass."""
        done = subprocess.run(
            [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', *self.sizes.tests],
            cwd=ROOT, capture_output=True, text=True, timeout=self.sizes.tests_s, check=False)
        counts = {word: int(number) for number, word in re.findall(
            r'(\d+) (passed|failed|skipped|errors?)', done.stdout)}
        names = re.findall(r'^FAILED (\S+)', done.stdout, re.MULTILINE)
        return {**counts, 'failed_tests': names}

    def data(self, collecting: subprocess.Popen[bytes], wait_s: float) -> dict[str, Any]:
        """End the collecting after ``wait_s`` at the latest; what is finished is kept."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            collecting.wait(max(1.0, wait_s))
        collecting.terminate()
        collecting.wait(30)
        count = len(list((self.work / 'data').glob('*.safetensors')))
        if not count:
            raise RuntimeError('collecting made no episode')
        return {'episodes': count}

    def control(self, preset: str) -> dict[str, Any]:
        """A control step with a full window; the bars of the rates."""
        robot = load_robot('panda_sim')
        checkpoint = random_checkpoint(preset, robot, self.device.type)
        self.stepper = Stepper(checkpoint, robot)
        self.stepper.fill()
        times = sample(self.stepper.step, self.sizes.steps)
        rates = decode_rates(self.stepper.policy, times['decode']['p50'])
        total = times['total']
        for name, hz, p99 in (('1.18b', 100, 10.0), ('79m', 400, 3.0)):
            if preset == name:
                self.bar(f'{name}, full window', hz, 1e3 / total['p50'], 'Hz')
                self.bar(f'{name}, p99', p99, total['p99'], 'ms', least=False)
        if preset == '1.18b' and 'read_GB_per_s' in rates:
            self.bar('1.18b, share of the bandwidth in decoding', 0.6,
                     rates['read_GB_per_s'] * 1e9 / self.read, 'of 1')
        return {'engine': self.stepper.policy.engine.name, 'ms': times, **rates}

    def settings(self, preset: str, batch: int, **changes: Any) -> TrainSettings:
        """Return a training's settings on the data that was collected."""
        return load_settings('generalist', {
            'model': preset, 'batch': batch, 'precision': 'bfloat16', 'auxiliary_weight': 1.0,
            'mixture': [{'domain': 'stacking', 'folders': [str(self.work / 'data')],
                         'prompt_fraction': 0.0, 'sentence_fraction': 0.5}], **changes})

    def training(self, preset: str, batch: int) -> dict[str, Any]:
        """The training step's rate, and its share of the matrix rate; the bars of both."""
        settings = self.settings(preset, batch, recompute=preset in self.sizes.recompute)
        mixture = Mixture(settings.sources, 0, self.work / 'columns')
        mixture.place(self.device)
        torch.manual_seed(0)
        model = Gato(load_architecture(preset), mixture.auxiliary)
        model.recompute = settings.recompute
        loss = MaskedLoss(model, settings.smoothing_bins, 0.0, 1.0).to(self.device).train()
        optimizer = make_optimizer(model, settings)

        def step(number: int) -> int:
            groups = [group.to(self.device) for group in mixture.batch(number, batch)]
            optimise(loss, {number: groups}, optimizer, settings, self.device)
            return sum(len(group.ids) * (int(group.layout.timestep[-1]) + 1) for group in groups)

        with FlopCounterMode(display=False) as counter:
            step(0)
        step(1)
        self._finish()
        start = time.perf_counter()
        timesteps = sum(step(number) for number in range(2, 2 + self.sizes.rounds))
        self._finish()
        elapsed = time.perf_counter() - start
        share = counter.get_total_flops() * self.sizes.rounds / elapsed / self.rate
        rate = timesteps / elapsed
        if preset == 'small':
            self.bar('training small, timesteps/s', 10 * FORMERLY, rate, '/s')
        if count_parameters(model) > 70e6:
            self.bar(f'training {preset}, share of the matrix rate', 0.4, share, 'of 1')
        result = {'batch': batch, 'timesteps_per_s': rate, 'matrix_share': share,
                  'steps': self.sizes.rounds, 'recompute': settings.recompute}
        if preset == next(iter(self.sizes.trained)):
            result['profile'] = self._profile(lambda: step(0))
        return result

    def _finish(self) -> None:
        if self.device.type == 'cuda':
            torch.cuda.synchronize()

    def _profile(self, call: Callable[[], Any]) -> list[dict[str, Any]]:
        """Return the operations that take most of one call, ms each."""
        kinds = [ProfilerActivity.CPU]
        if self.device.type == 'cuda':
            kinds.append(ProfilerActivity.CUDA)
        with profile(activities=kinds) as found:
            call()
            self._finish()

        def own_ms(event: Any) -> float:
            return (event.self_device_time_total if len(kinds) > 1
                    else event.self_cpu_time_total) / 1e3
        events = sorted(found.key_averages(), key=own_ms, reverse=True)[:TOP]
        return [{'name': event.key[:80], 'calls': event.count, 'ms': round(own_ms(event), 3)}
                for event in events]

    def profile_control(self) -> dict[str, Any]:
        """Where one control step of the last model spends its time."""
        return {'profile': self._profile(self.stepper.step)}

    def learn(self) -> dict[str, Any]:
        """Train from the generalist while there is time; leave the checkpoint in files."""
        former = load_checkpoint(GENERALIST)
        file = self.work / 'architecture.yaml'
        file.write_text(yaml.safe_dump(to_dict(former.config.architecture)), encoding='utf-8')
        trained, steps, batch = self.work / 'pace', 3 * self.sizes.pace_steps, self.sizes.batch
        chosen = self.settings(str(file), batch, steps=steps, warmup=1,
                               log_every=self.sizes.pace_steps)
        start = time.monotonic()
        train(chosen, trained, self.device.type, GENERALIST)
        pace = batch / _last(trained)['timesteps_per_s']  # a sequence is one timestep
        starting = time.monotonic() - start - steps * pace
        more = int(0.9 * (self.left_s - self.sizes.spare_s - starting) / pace)
        if self.sizes is CARD and more > steps:
            trained, steps = self.work / 'run', more
            train(replace(chosen, steps=steps, warmup=min(50, steps), log_every=20,
                          save_every=max(200, steps // 3)), trained, self.device.type, GENERALIST)
        made = load_checkpoint(trained / 'checkpoint')
        save_checkpoint(self.work / 'small', made.config, made.model.state_dict(), torch.bfloat16)
        (self.out / 'config.json').write_bytes((self.work / 'small' / 'config.json').read_bytes())
        names = []
        for number, some in enumerate(_pieces(self.work / 'small' / 'model.safetensors')):
            names.append(f'model.safetensors.{number:02d}')
            (self.out / names[-1]).write_bytes(some)
        return {'steps': steps, 'files': names, 'last': _last(trained),
                'join': 'cat model.safetensors.* > model.safetensors'}

    def plot(self) -> dict[str, Any]:
        """Draw what was measured as a share of each bar."""
        import matplotlib
        matplotlib.use('Agg')
        from matplotlib import pyplot
        rows = self.found['bars']
        figure, axis = pyplot.subplots(figsize=(8, 1 + 0.5 * max(1, len(rows))))
        for row in rows:
            share = row['measured'] / row['bar']
            axis.barh(row['what'], share, color='tab:green' if row['reached'] else 'tab:red')
            axis.text(share, row['what'], f' {row["measured"]:g} {row["unit"]}', va='center')
        axis.axvline(1.0, color='black')
        axis.set(xlabel='share of the bar (p99: less is better)', title='rehearsal, no figures'
                 if self.found['rehearsal'] else self.found['parts']['machine'].get('device', ''))
        axis.invert_yaxis()
        figure.tight_layout()
        figure.savefig(self.out / 'gpu_day.png', dpi=100)
        pyplot.close(figure)
        return {}


def _last(run: Path) -> dict[str, float]:
    """Return the last line of a run's log."""
    return json.loads((run / 'log.jsonl').read_text(encoding='utf-8').splitlines()[-1])


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open('rb') as handle:
        while some := handle.read(SHARD):
            yield some


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, required=True, help='folder to write into')
    parser.add_argument('--minutes', type=float, default=9.5, help='that all of it may take')
    parser.add_argument('--rehearse', action='store_true', help='tiny sizes, no figures')
    chosen = parser.parse_args()
    if not chosen.rehearse and not torch.cuda.is_available():
        sys.exit('no CUDA device is here, expected one; REHEARSE=1 runs tiny sizes without')
    sizes = TINY if chosen.rehearse else CARD
    with tempfile.TemporaryDirectory(prefix='gpu_day-') as work:
        day = Day(chosen.out, chosen.minutes, sizes, Path(work))
        collecting = subprocess.Popen(
            [sys.executable, '-m', 'gato_ros.tools.cli', 'collect', '--task', sizes.task,
             '--episodes', str(sizes.episodes), '--out', str(day.work / 'data'),
             '--workers', str(max(1, len(os.sched_getaffinity(0)) - 4))],  # some are left for us
            stdout=subprocess.DEVNULL)
        day.part('machine', day.machine)
        day.part('tests', day.tests)
        for preset in sizes.controlled:
            day.part(f'control {preset}', lambda preset=preset: day.control(preset))
        day.part('control profile', day.profile_control)
        day.part('data', lambda: day.data(collecting, day.left_s - 330))
        for preset, batch in sizes.trained.items():
            day.part(f'training {preset}', lambda p=preset, b=batch: day.training(p, b))
        day.part('learn', day.learn)
        day.part('plot', day.plot)
    day.write()
    print(f'written: {chosen.out}')
    for row in day.found['bars']:
        print(f'{row["what"]}: {row["measured"]:g} {row["unit"]}, bar {row["bar"]:g}, '
              f'{"reached" if row["reached"] else "missed"}')


if __name__ == '__main__':
    main()
