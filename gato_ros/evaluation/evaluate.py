"""Seeded rollouts in any domain's worlds, on all cores, resumable.

    gato-ros evaluate --checkpoint runs/stack/checkpoint --suite stacking --randomisation both

Each finished episode is written down at once; after whatever interruption the same command goes
on. How an episode ends depends on its task, randomisation, actor and seed alone, never on the
worker that runs it or on what ran before.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from gato_ros.cluster import Needs, crew
from gato_ros.domains.domain import Environment
from gato_ros.domains.scores import scores_of
from gato_ros.domains.versions import versions
from gato_ros.domains.wrappers import fault_of, open_environment
from gato_ros.evaluation.actors import Actor, Scene
from gato_ros.evaluation.cast import make_actor
from gato_ros.evaluation.contact_sheet import PICTURED, Frames, save_frames
from gato_ros.evaluation.results import Results
from gato_ros.evaluation.rollout import RANDOMISED, Outcome, rollout
from gato_ros.evaluation.suite import (
    CONDITIONS,
    EvaluateSettings,
    EvaluationError,
    Fingerprints,
    Job,
    fingerprints,
    name_in,
    open_checkpoint,
)
from gato_ros.policy.checkpoint import Checkpoint
from gato_ros.policy.policy import GatoPolicy
from gato_ros.workers import WorkerError, here


@dataclass(frozen=True)
class _Broken:
    """An episode that came to no end, and why."""

    task: str
    sentence: str


def evaluate(settings: EvaluateSettings, broken: dict[str, str] | None = None
             ) -> Iterator[Outcome]:
    """Yield the outcome of every job: those that were finished before, then others as they end.

    broken  gets the tasks whose world breaks its word, with what went wrong, and the others go
            on; None: the first of them ends the evaluation

    Raises CheckpointError, ClusterError, EvaluationError, DomainError or ConfigError; what is
    finished is kept.
    """
    prints = fingerprints(settings)
    with Results(settings.out) as results:
        finished = results.read(prints)
        missing = [job for job in settings.jobs if job not in finished]
        yield from (finished[job] for job in settings.jobs if job in finished)
        if not missing:
            return
        work = _run if broken is None else _try
        needs = Needs(settings.out, (settings.checkpoint,), versions,
                      (settings.tasks, settings.robot))
        try:
            with crew(settings.ray, settings.workers, needs) as hands:
                for outcome in hands.run(work, missing, _start_worker, (settings, prints)):
                    if isinstance(outcome, _Broken):
                        assert broken is not None
                        broken.setdefault(outcome.task, outcome.sentence)
                        continue
                    results.append(outcome)
                    yield outcome
        except WorkerError as error:
            raise EvaluationError(f'{error}; what is finished is kept in {results.path}, so give '
                                  'the command again, or with fewer --workers') from error


def validation_score(checkpoint: Path, tasks: tuple[str, ...], episodes: int, workers: int
                     ) -> float:
    """Return how well a policy does on validation episodes, of ``tasks`` alike, in [0, 1].

    The share of successes; the normalised score where a domain has no successes.
    """
    with tempfile.TemporaryDirectory() as out:
        settings = EvaluateSettings(
            checkpoint, tasks, actors=('policy',), episodes=max(1, episodes // len(tasks)),
            split='validation', out=Path(out), workers=workers)
        marks = [_mark(settings, outcome) for outcome in evaluate(settings)]
    return sum(marks) / len(marks)


def _mark(settings: EvaluateSettings, outcome: Outcome) -> float:
    if outcome.success is not None:
        return float(outcome.success)
    scores = scores_of(*settings.find(outcome.task))
    if scores is None:
        raise EvaluationError(f'{outcome.task} has no success and no published scores, so nothing '
                              'can be chosen by it; measure them: gato-ros domains score '
                              f'{outcome.task}')
    return float(np.clip(scores.normalised(outcome.score), 0.0, 1.0))


class _Worker:
    """One process: environment and policy of the task that it is at, and the actors.

    A policy holds a ring and buffers, so that one for each of a hundred domains is too much.
    """

    def __init__(self, settings: EvaluateSettings, prints: Fingerprints) -> None:
        self._settings, self._prints = settings, prints
        self._task = ''
        self._environment: Environment | None = None
        self._checkpoint: Checkpoint | None = None
        self._known = ''
        self._gato: GatoPolicy | None = None
        self._actors: dict[str, Actor] = {}

    def run(self, job: Job) -> Outcome:
        environment = self._at(job.task)
        environment.randomise = job.randomisation == RANDOMISED
        undisturbed = job.randomisation in CONDITIONS
        environment.disturbance = '' if undisturbed else job.randomisation
        if job.actor not in self._actors:
            self._actors[job.actor] = make_actor(job.actor, self._policy)
        domain, task = self._settings.find(job.task)
        watched = domain.seeds.split(self._settings.split)[:self._settings.pictured]
        frames = Frames() if job.actor in PICTURED and job.seed in watched else None
        outcome = rollout(Scene(domain, environment, job.task, task, job.seed),
                          self._actors[job.actor], job.actor,
                          frames.watch if frames else None)
        outcome = replace(outcome, fingerprint=self._prints[job.task, job.actor])
        if frames and frames.pictures and outcome.success is False:
            save_frames(here(self._settings.out), outcome, frames.pictures)
        return outcome

    def leave(self) -> None:
        """Close the environment: the next episode gets a new one."""
        environment, self._environment = self._environment, None
        if environment is not None:
            environment.close()

    def _at(self, task: str) -> Environment:
        if self._environment is None or self._task != task:
            self.leave()
            self._environment = open_environment(self._settings.find(task)[0])
            self._task = task
        return self._environment

    def _policy(self, scene: Scene) -> GatoPolicy:
        """Return the checkpoint at work in a scene's domain; all domains share its weights."""
        if self._checkpoint is None:
            self._checkpoint = open_checkpoint(self._settings)
            if fingerprints(self._settings) != self._prints:
                raise EvaluationError(f'{self._settings.checkpoint} or the program was changed '
                                      'during the evaluation; give the command again')
        name = name_in(self._checkpoint.config, scene.domain, scene.task)
        if self._gato is None or self._known != name:
            given, window = self._settings.temperature, self._settings.window
            self._gato = (GatoPolicy(self._checkpoint, name, given, timesteps=window)
                          if self._gato is None
                          else self._gato.beside(name, given, timesteps=window))
            self._known = name
        return self._gato


_worker: _Worker


def _start_worker(settings: EvaluateSettings, prints: Fingerprints) -> None:
    global _worker
    torch.set_num_threads(1)  # one process per core does better than threads that fight
    _worker = _Worker(settings, prints)


def _run(job: Job) -> Outcome:
    return _worker.run(job)


def _try(job: Job) -> Outcome | _Broken:
    try:
        return _run(job)
    except Exception as error:
        sentence = fault_of(error)
        if sentence is None:
            raise
        _worker.leave()
        return _Broken(job.task, sentence)
