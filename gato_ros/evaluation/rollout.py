"""One episode: an actor before the simulator, every torque behind the gate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gato_ros.domains.stacking.env import StackingEnv
from gato_ros.evaluation.actors import Actor
from gato_ros.safety import SafetyGate

FRAMES = 4  # pictures kept of an episode, evenly over its time limit
FRAME_SIZE = 112  # pixels


@dataclass(frozen=True)
class Outcome:
    """How one episode ended.

    failure      one of the judge's FAILURES, empty on success
    fingerprint  of everything that the episode depends on, see ``suite.fingerprints``
    """

    task: str
    looks: str
    actor: str
    seed: int
    success: bool
    steps: int
    failure: str
    fingerprint: str = ''


def rollout(env: StackingEnv, actor: Actor, seed: int, name: str = 'policy',
            frames: list[np.ndarray] | None = None) -> Outcome:
    """Run one episode of ``env``'s task and looks.

    name    of the actor, for the outcome
    frames  gets uint8[2 S, S, 3] at each quarter of the time limit: the front camera's picture
            above the wrist's
    """
    env.pictures = actor.sees
    gate, period = SafetyGate(env.robot), 1.0 / env.robot.rate_hz
    observation = env.reset(seed)
    actor.reset(env, seed)
    sent: np.ndarray | None = None
    steps = 0
    while not env.success and env.time_s < env.time_limit_s - 1e-6:
        sent = gate.check(actor.act(observation, sent), period).effort
        observation = env.step(sent)
        steps += 1
        if (frames is not None
                and env.time_s >= env.time_limit_s * (len(frames) + 1) / FRAMES - 1e-6):
            frames.append(np.concatenate([env.render(camera, FRAME_SIZE, FRAME_SIZE)
                                          for camera in ('front', 'wrist')]))
    return Outcome(env.task.name, 'randomised' if env.randomise else 'nominal', name, seed,
                   env.success, steps, env.failure)
