"""The figures of a bench run, on the screen and as one picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np


def show(report: Mapping[str, Any]) -> None:
    """Print the issue's bars beside what was measured, then the stages."""
    from rich.console import Console
    from rich.table import Table

    console, machine = Console(), report['machine']
    console.print(f'{machine["processor"]}, {machine["cores"]} cores, {machine["threads"]} '
                  f'thread(s), computes on {machine["device"]}, reads '
                  f'{machine["read_GB_per_s"]} GB/s, load before {machine["load_before"]:.1f}')
    table = Table(title='bars')
    for title in ('what', 'bar', 'measured', 'reached'):
        table.add_column(title)
    for row in bars(report):
        table.add_row(*row)
    console.print(table)
    for title, times in (('stages, ms', report.get('stages', {}).get('ms')),
                         ('in the graph, ms', report.get('graph', {}).get('policy_ms'))):
        if times:
            table = Table(title=title)
            for column in ('stage', 'p50', 'p90', 'p99', 'p99.9', 'max'):
                table.add_column(column, justify='left' if column == 'stage' else 'right')
            for stage, row in times.items():
                table.add_row(stage, *(f'{row[mark]:.2f}' for mark in ('p50', 'p90', 'p99',
                                                                       'p99.9', 'max')))
            console.print(table)


def bars(report: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Return (what, bar, measured, yes or no) for every bar; what was not measured says why."""
    rows = []

    def add(what: str, bar: str, measured: str, reached: bool) -> None:
        rows.append((what, bar, measured, 'yes' if reached else 'no'))

    def skip(what: str, bar: str, why: str) -> None:
        rows.append((what, bar, why, '-'))

    def why_not(part: str) -> str:
        return report.get(part, {}).get('left_out', f'not measured: --part {part}')

    races = {m: r for m, r in report.get('versus', {}).items() if isinstance(r, Mapping)}
    for model, race in races.items():
        _race(model, race, report['machine'].get('read_GB_per_s'), add, skip)
    if not races:
        skip('step against full recomputation and transformers', '30, 3, 1.5 times faster',
             why_not('versus'))
    graph = report.get('graph', {})
    if 'sensor_to_command_ms' in graph:
        age = graph['sensor_to_command_ms']['p99']
        add(f'graph, {graph["minutes"]:g} min, scheduling {graph["scheduling"]}: periods in time',
            '99.9 %',
            f'{100 * graph["in_time"]:.2f} % of {graph["answers"] + graph["missed_periods"]}',
            graph['in_time'] >= 0.999)
        add('graph: sensor to command, p99', '50 ms', f'{age:.1f} ms', age < 50)
        add('graph: p99 / p50', '1.5', f'{graph["p99_over_p50"]:.2f}',
            graph['p99_over_p50'] < 1.5)
    else:
        skip('graph at 20 Hz: periods in time, age, p99 / p50', '99.9 %, 50 ms, 1.5',
             why_not('graph'))
    run = report.get('long', {})
    for key, name in (('total_ms', 'latency'), ('cpu_ms', 'processor time'),
                      ('resident_MB', 'memory')) if 'total_ms' in run else ():
        add(f'{run["steps"]} steps: last {run["share"]} against first, {name}', '5 %',
            f'{100 * run[key]["change"]:+.1f} %', abs(run[key]['change']) <= 0.05)
    if 'total_ms' not in run:
        skip('20,000 steps: last thousand against first', '5 %', why_not('long'))
    for window, same in report.get('agreement', {}).items():
        if isinstance(same, Mapping):
            margin = max((d['margin'] for d in same['differences']), default=0.0)
            add(f'greedy tokens as eager float32, {same["steps"]} steps, {window}',
                f'all, or ties; bound {same["bound"]:g}',
                f'{same["identical"]} identical, others tie by {margin:.1g}; scores within '
                f'{same["largest_difference_of_scores"]:.1g}', same['explained'])
    if 'full window' not in report.get('agreement', {}):
        skip('greedy tokens as eager float32', 'all, or ties', why_not('agreement'))
    for model, rate, p99 in (('1.18b', 100, 10.0), ('79m', 400, float('inf'))):
        what, bar = f'{model} on a GPU, full window', f'{rate} Hz' + ', p99 10 ms' * (p99 < 50)
        models = report.get('growth', {}).get('models', {})
        times = models.get(model, {}).get('ms', {}).get('total')
        if report['machine']['device'] == 'cpu':
            skip(what, bar, 'no CUDA device was used')
        elif times is None:
            skip(what, bar, why_not('growth'))
        else:
            add(what, bar, f'{1e3 / times["p50"]:.0f} Hz, p99 {times["p99"]:.1f} ms',
                1e3 / times['p50'] >= rate and times['p99'] < p99)
    return rows


def _race(model: str, race: Mapping[str, Any], bandwidth: float | None,
          add: Callable[[str, str, str, bool], None],
          skip: Callable[[str, str, str], None]) -> None:
    """Add the bars of one model's comparison."""
    slower = race['slower_by']
    recomputed = slower['a: whole window for every token']
    add(f'{model}: step against full recomputation', '30 times faster',
        f'{recomputed["wall"]:.1f} (cpu {recomputed["cpu"]:.1f})', recomputed['wall'] >= 30)
    rivals = {name: ratio for name, ratio in slower.items() if name.startswith('b:')}
    bar = 1.5 if model == '79m' else 3.0
    if rivals:
        best = min(rivals, key=lambda name: rivals[name]['wall'])
        add(f'{model}: step against the best of transformers', f'{bar:g} times faster',
            f'{rivals[best]["wall"]:.2f} (cpu {rivals[best]["cpu"]:.2f}): '
            f'{best.removeprefix("b: transformers, ")}', rivals[best]['wall'] >= bar)
    else:
        skip(f'{model}: step against transformers', f'{bar:g} times faster', race['left_out'])
    if bandwidth and 'read_GB_per_s' in race:
        share = race['read_GB_per_s'] / bandwidth
        what, measured = f'{model}: decode, share of read bandwidth', (
            f'{100 * share:.0f} % of {bandwidth} GB/s')
        if model == '79m':
            add(what, '70 %', measured, share >= 0.7)
        else:  # a small model's bytes stay in the caches
            skip(what, 'none', measured)


def draw(report: Mapping[str, Any], file: Path) -> None:
    """Draw contenders and growth side by side; nothing where neither was measured."""
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot as plt

    races = {name: race for name, race in report.get('versus', {}).items() if 'cpu_ms' in race}
    growth = report.get('growth', {})
    long = report.get('long', {})
    panels = len(races) + 3 * bool(growth) + ('every' in long)
    if not panels:
        return
    columns = min(panels, 3)
    figure, axes = plt.subplots(-(-panels // columns), columns, squeeze=False,
                                figsize=(6 * columns, 4 * -(-panels // columns)))
    spots = iter(axes.flat)
    for axis in list(axes.flat)[panels:]:
        axis.set_axis_off()
    for model, race in races.items():
        axis, names = next(spots), list(race['cpu_ms'])
        axis.barh(names, [race['cpu_ms'][name]['p50'] for name in names])
        axis.set(xscale='log', xlabel='processor ms of a control step (p50)',
                 title=f'{model}, full window')
        axis.invert_yaxis()
    if growth:
        fill = growth['cpu_ms_by_tokens_in_window']
        axis = next(spots)
        axis.plot([int(tokens) for tokens in fill], [row['p50'] for row in fill.values()], 'o-')
        axis.set(xlabel='tokens in the window', ylabel='processor ms of a step', ylim=(0, None))
        models = {name: row for name, row in growth['models'].items() if 'ms' in row}
        axis = next(spots)
        for stage in ('prefill', 'decode', 'cpu'):
            axis.loglog([row['parameters'] for row in models.values()],
                        [row['ms'][stage]['p50'] for row in models.values()], 'o-', label=stage)
        axis.set(xlabel='parameters', ylabel='ms')
        axis.legend()
        axis = next(spots)
        cameras = growth['cameras']
        for stage in ('encode', 'prefill', 'decode'):
            axis.plot([row['tokens'] for row in cameras.values()],
                      [row['ms'][stage]['p50'] for row in cameras.values()], 'o', label=stage)
        axis.set(xlabel='tokens of a timestep (cameras and resolution)', ylabel='ms',
                 ylim=(0, None))
        axis.legend()
    if 'every' in long:
        axis = next(spots)
        for name, label in (('total_ms_over_time', 'ms of a step (median)'),
                            ('resident_MB_over_time', 'resident MB / 100')):
            values = np.array(long[name]) / (100 if 'MB' in name else 1)
            axis.plot(np.arange(len(values)) * long['every'], values, label=label)
        axis.set(xlabel='steps of one episode', ylim=(0, None))
        axis.legend(loc='center right')
    figure.tight_layout()
    figure.savefig(file, dpi=80)
    plt.close(figure)
