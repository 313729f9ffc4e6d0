"""Finished episodes on disk, one JSON line each, written at once: what a killed run leaves."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

from gato_ros.evaluation.rollout import Outcome
from gato_ros.evaluation.suite import EvaluationError, Fingerprints, Job

FILE = 'episodes.jsonl'


class Results:
    """The file of a folder, held against a second evaluation while it is open.

    Raises EvaluationError when it cannot be written or is in use.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE

    def __enter__(self) -> Results:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open('a+b', buffering=0)
        except OSError as error:
            raise EvaluationError(f'{self.path} cannot be written: {error.strerror}; choose '
                                  'another folder with --out') from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise EvaluationError(f'{self.path.parent} is in use by another evaluation, expected '
                                  'to be alone there; wait, or choose another --out') from None
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._file.close()

    def read(self, fingerprints: Fingerprints) -> dict[Job, Outcome]:
        """Return what was finished under these fingerprints, and nothing else."""
        found = {}
        for line in self.path.read_bytes().splitlines():
            try:
                outcome = Outcome(**json.loads(line))
            except (ValueError, TypeError):
                continue  # the process was killed while it wrote: that episode is run again
            if outcome.fingerprint == fingerprints.get((outcome.task, outcome.actor)):
                found[Job(outcome.task, outcome.randomisation, outcome.actor,
                          outcome.seed)] = outcome
        return found

    def append(self, outcome: Outcome) -> None:
        """Write one episode, whole, before anything else happens."""
        line = json.dumps(asdict(outcome)).encode() + b'\n'
        if not self._ends_well():
            line = b'\n' + line
        try:
            written = self._file.write(line)
        except OSError as error:
            raise self._full(str(error.strerror)) from error
        if written != len(line):
            raise self._full('the disk is full')

    def _full(self, reason: str) -> EvaluationError:
        return EvaluationError(f'{self.path} cannot be written: {reason}; what is finished is '
                               'kept, so make room and give the command again')

    def _ends_well(self) -> bool:
        """Whether the file is empty or ends with a whole line."""
        size = os.fstat(self._file.fileno()).st_size
        return size == 0 or os.pread(self._file.fileno(), 1, size - 1) == b'\n'
