"""One episode as a film, for people."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from gato_ros.domains.domain import Environment
from gato_ros.domains.registry import find_task
from gato_ros.domains.wrappers import open_environment
from gato_ros.evaluation.actors import Scene
from gato_ros.evaluation.cast import POLICY_ACTORS, make_actor
from gato_ros.evaluation.rollout import Outcome, rollout
from gato_ros.evaluation.suite import name_in
from gato_ros.policy.checkpoint import load_checkpoint
from gato_ros.policy.policy import GatoPolicy

SIZE = 320  # pixels across
RATE_HZ = 20.0  # of a domain without a robot


class FilmError(RuntimeError):
    """A film that cannot be written; one sentence."""


class Film:
    """Writes what an environment looks like, frame by frame, as an mp4.

    Raises FilmError where no film can be written.
    """

    def __init__(self, file: Path, rate_hz: float) -> None:
        self.file, self._rate_hz = file, rate_hz
        self._writer: cv2.VideoWriter | None = None
        file.parent.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Film:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if self._writer is not None:
            self._writer.release()

    def watch(self, environment: Environment) -> None:
        """Add a frame."""
        picture = np.ascontiguousarray(environment.picture(SIZE)[..., ::-1])
        height, width = (side - side % 2 for side in picture.shape[:2])  # codecs want even sides
        if self._writer is None:
            self._writer = cv2.VideoWriter(str(self.file), int.from_bytes(b'mp4v', 'little'),
                                           self._rate_hz, (width, height))
            if not self._writer.isOpened():
                raise FilmError(f'{self.file} cannot be written as mp4v; is the folder writable?')
        self._writer.write(picture[:height, :width])


def play(task: str, checkpoint: Path, out: Path, actor: str = 'policy', seed: int = 0,
         robot: str = '') -> tuple[Outcome, Path]:
    """Roll out one episode of DOMAIN/TASK and film it; return its outcome and the film."""
    domain, name = find_task(task, robot)
    environment = open_environment(domain)
    loaded = load_checkpoint(checkpoint) if actor in POLICY_ACTORS else None

    def policies(scene: Scene) -> GatoPolicy:
        assert loaded is not None
        return GatoPolicy(loaded, name_in(loaded.config, scene.domain, scene.task))

    acting = make_actor(actor, policies)
    rate_hz = domain.robot.rate_hz if domain.robot else RATE_HZ
    with Film(out / f'{domain.name}-{name}-{actor}-{seed:05d}.mp4', rate_hz) as film:
        outcome = rollout(Scene(domain, environment, task, name, seed),
                          acting, actor, film.watch)
    environment.close()
    return outcome, film.file
