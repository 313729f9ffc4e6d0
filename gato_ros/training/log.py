"""A run's figures: one JSON line each, TensorBoard events, and a plot of the loss."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter


class RunLog:
    """Writes ``log.jsonl``, TensorBoard events and ``loss.png`` into a run's folder."""

    def __init__(self, folder: Path, resumed_at: int = 0) -> None:
        self._path = folder / 'log.jsonl'
        self._rows = [row for row in self._read() if row['step'] <= resumed_at]
        self._path.write_text(''.join(json.dumps(row) + '\n' for row in self._rows),
                              encoding='utf-8')
        self._events = SummaryWriter(str(folder / 'tensorboard'), purge_step=resumed_at + 1)

    def add(self, step: int, values: dict[str, float]) -> None:
        """Record the figures of one step."""
        row = {'step': step, **values}
        self._rows.append(row)
        with self._path.open('a', encoding='utf-8') as handle:
            handle.write(json.dumps(row) + '\n')
        for name, value in values.items():
            self._events.add_scalar(name, value, step)

    def plot(self) -> None:
        """Draw the losses over the steps."""
        if not self._rows:
            return
        import matplotlib
        matplotlib.use('Agg')
        from matplotlib import pyplot
        names = [n for n in ('tokens', 'error', 'auxiliary')
                 if any(n in row for row in self._rows)]
        figure, axes = pyplot.subplots(1, len(names), figsize=(5 * len(names), 3.5), squeeze=False)
        for axis, name in zip(axes[0], names, strict=True):
            # Not every batch of a mixture has a part in each of them.
            found = [(row['step'], row[name]) for row in self._rows if name in row]
            axis.plot(*zip(*found, strict=True))
            axis.set(xlabel='step', title=name)
            axis.grid(alpha=0.3)
        figure.tight_layout()
        figure.savefig(self._path.with_name('loss.png'), dpi=100)
        pyplot.close(figure)

    def close(self) -> None:
        """Flush everything."""
        self.plot()
        self._events.close()

    def _read(self) -> list[dict[str, Any]]:
        if not self._path.exists():
            return []
        return [json.loads(line) for line in self._path.read_text(encoding='utf-8').splitlines()
                if line.endswith('}')]
