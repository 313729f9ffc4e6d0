"""Seeded rollouts in the simulator, on all cores, resumable.

    gato-ros evaluate --checkpoint runs/stack/checkpoint --suite --looks both

Each finished episode is written down at once; after whatever interruption the same command goes
on. How an episode ends depends on its task, looks, actor and seed alone, never on the worker that
runs it or on what ran before.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from gato_ros.domains.stacking.env import StackingEnv
from gato_ros.domains.stacking.tasks import load_task
from gato_ros.evaluation.actors import Actor
from gato_ros.evaluation.cast import make_actor
from gato_ros.evaluation.contact_sheet import PICTURED, save_frames
from gato_ros.evaluation.results import Results
from gato_ros.evaluation.rollout import Outcome, rollout
from gato_ros.evaluation.suite import (
    EvaluateSettings,
    EvaluationError,
    Job,
    fingerprints,
    open_checkpoint,
)
from gato_ros.policy.policy import GatoPolicy
from gato_ros.robot import load_robot
from gato_ros.workers import WorkerError, run_jobs


def evaluate(settings: EvaluateSettings) -> Iterator[Outcome]:
    """Yield the outcome of every job: those that were finished before, then others as they end.

    Raises CheckpointError, EvaluationError or ConfigError; what is finished is kept.
    """
    prints = fingerprints(settings)
    with Results(settings.out) as results:
        finished = results.read(prints)
        missing = [job for job in settings.jobs if job not in finished]
        yield from (finished[job] for job in settings.jobs if job in finished)
        try:
            for outcome in run_jobs(_run, missing, settings.workers, _start_worker,
                                    (settings, prints)):
                results.append(outcome)
                yield outcome
        except WorkerError as error:
            raise EvaluationError(f'{error}; what is finished is kept in {results.path}, so give '
                                  'the command again, or with fewer --workers') from error


def success_rate(checkpoint: Path, tasks: tuple[str, ...], episodes: int, workers: int) -> float:
    """Return the share of validation episodes, of ``tasks`` alike, in which a policy succeeds."""
    with tempfile.TemporaryDirectory() as out:
        outcomes = list(evaluate(EvaluateSettings(
            checkpoint, tasks, actors=('policy',), episodes=max(1, episodes // len(tasks)),
            split='validation', out=Path(out), workers=workers)))
    return sum(outcome.success for outcome in outcomes) / len(outcomes)


class _Worker:
    """One process: the environment of the task that it is at, and the actors."""

    def __init__(self, settings: EvaluateSettings, prints: dict[str, str]) -> None:
        self._settings, self._prints = settings, prints
        self._robot = load_robot(settings.robot)
        self._env: StackingEnv | None = None
        self._policy: GatoPolicy | None = None
        self._actors: dict[str, Actor] = {}

    def run(self, job: Job) -> Outcome:
        if self._env is None or self._env.task.name != job.task:
            if self._env is not None:
                self._env.close()
            self._env = StackingEnv(self._robot, load_task(job.task), render=False)
        self._env.randomise = job.looks == 'randomised'
        if job.actor not in self._actors:
            self._actors[job.actor] = make_actor(job.actor, self._load_policy)
        frames: list[np.ndarray] | None = [] if job.actor in PICTURED else None
        outcome = rollout(self._env, self._actors[job.actor], job.seed, job.actor, frames)
        outcome = replace(outcome, fingerprint=self._prints[job.actor])
        if frames and not outcome.success:
            save_frames(self._settings.out, outcome, frames)
        return outcome

    def _load_policy(self) -> GatoPolicy:
        if self._policy is None:
            self._policy = GatoPolicy(open_checkpoint(self._settings), self._robot.timestep(),
                                      self._settings.temperature)
            if fingerprints(self._settings) != self._prints:
                raise EvaluationError(f'{self._settings.checkpoint} or the program was changed '
                                      'during the evaluation; give the command again')
        return self._policy


_worker: _Worker


def _start_worker(settings: EvaluateSettings, prints: dict[str, str]) -> None:
    global _worker
    torch.set_num_threads(1)  # one process per core does better than threads that fight
    _worker = _Worker(settings, prints)


def _run(job: Job) -> Outcome:
    return _worker.run(job)
