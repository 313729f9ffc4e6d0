"""Rollouts beside training: the best checkpoint by validation seeds is kept.

They run in processes of their own, so that training goes on, and never touch its random numbers.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from gato_ros.files import whole

Validate = Callable[[Path], float]


class Validation:
    """Rolls out checkpoints of a run, one after the other; ``best/`` holds the best of them.

    validate  checkpoint's folder -> share of validation episodes that succeed, or
              their normalised score, in [0, 1]
    """

    def __init__(self, folder: Path, validate: Validate) -> None:
        self._folder, self._validate = folder, validate
        self._log = folder / 'validation.jsonl'
        self._rates = {row['step']: row['success'] for row in self._read()}
        self._worker = ThreadPoolExecutor(1)
        self._waiting: list[Future[None]] = []

    def submit(self, step: int, checkpoint: Path) -> None:
        """Roll out a copy of the checkpoint, unless an earlier start did."""
        if step not in self._rates:
            copy = _copy(checkpoint, self._folder / f'checkpoint-{step}')
            self._waiting.append(self._worker.submit(self._judge, step, copy))

    def close(self) -> None:
        """Wait for what was submitted; raises what went wrong there."""
        self._worker.shutdown()
        for done in self._waiting:
            done.result()

    def _judge(self, step: int, checkpoint: Path) -> None:
        rate = self._validate(checkpoint)
        if rate >= max(self._rates.values(), default=0.0):  # of equals the one trained longer
            _copy(checkpoint, self._folder / 'best')
        shutil.rmtree(checkpoint)
        self._rates[step] = rate
        with self._log.open('a', encoding='utf-8') as handle:
            handle.write(json.dumps({'step': step, 'success': rate}) + '\n')
        print(f'validation at step {step}: {100 * rate:.1f} %', flush=True)

    def _read(self) -> list[dict[str, float]]:
        if not self._log.exists():
            return []
        lines = self._log.read_text(encoding='utf-8').splitlines()
        return [json.loads(line) for line in lines if line.endswith('}')]


def _copy(source: Path, target: Path) -> Path:
    """Copy a folder; a half-copied one is never seen under its name."""
    with whole(target) as aside:
        shutil.copytree(source, aside)
    return target
