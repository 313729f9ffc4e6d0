"""What the policy node needs of a policy, and how it gets the one of a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from gato_ros.config import ConfigError
from gato_ros.nodes.common.scheduling import usable_cores
from gato_ros.nodes.policy.talker import Speaker
from gato_ros.robot import RobotSpec
from gato_ros.spec import Action, Observation
from gato_ros.tokens.context import ContextWindow
from gato_ros.tokens.sequence import Prompt

if TYPE_CHECKING:
    from gato_ros.policy.checkpoint import Checkpoint


class Named(Protocol):
    """What has a name for people."""

    @property
    def name(self) -> str: ...


class Policy(Protocol):
    """What the node needs of a policy.

    said             what it read in the demonstration that is pinned, else ''
    understood       the sentence that is pinned: what the prompt's words mean
    refusal          why the prompt's words are not acted on, else '': act() refuses then
    fallback_reason  why the fast engine does not work here, else ''
    """

    said: str
    understood: str
    refusal: str
    fallback_reason: str

    @property
    def engine(self) -> Named: ...
    @property
    def window(self) -> ContextWindow: ...
    @property
    def checkpoint_hash(self) -> str: ...
    @property
    def sentences(self) -> tuple[str, ...]: ...
    def reset(self, prompt: Prompt = '', *, pinned: bool = True) -> None: ...
    def look(self, camera: str, image: np.ndarray) -> None: ...
    def act(self, observation: Observation,
            sent: Mapping[str, np.ndarray] | None = None) -> Action: ...


def open_checkpoint(params: SimpleNamespace) -> Checkpoint:
    """Load the weights onto the device; torch is imported here and not before.

    Raises ConfigError for what cannot be loaded, and for more threads than there are cores.
    """
    import torch

    from gato_ros.policy.checkpoint import SHIPPED, CheckpointError, load_checkpoint

    cores = usable_cores(getattr(params, 'scheduling', 'ordinary'))
    if params.threads > cores:  # measured: two that share a core take 1.8 times as long as one
        raise ConfigError(f'threads is {params.threads}, expected at most {cores}: the cores that '
                          'this process may use (parameter threads of the policy node)')
    torch.set_num_threads(params.threads or min(cores, torch.get_num_threads()))
    try:
        return load_checkpoint(params.checkpoint or SHIPPED, device=params.device)
    except CheckpointError as error:
        raise ConfigError(str(error)) from error


def load_policy(params: SimpleNamespace, robot: RobotSpec) -> Policy:
    """Load and warm up the policy of a robot."""
    checkpoint = open_checkpoint(params)

    from gato_ros.policy.checkpoint import CheckpointError
    from gato_ros.policy.engine import EngineError
    from gato_ros.policy.policy import GatoPolicy

    try:
        policy = GatoPolicy(checkpoint, robot.timestep(), seed=params.seed, temperature=(
            params.temperature if params.temperature >= 0 else None), engine=params.engine)
        policy.warm_up()
    except (CheckpointError, EngineError) as error:
        raise ConfigError(str(error)) from error
    return policy


def open_speaker(policy: Policy, cameras: Sequence[str]) -> Speaker:
    """Begin a context beside a policy that speaks of what these cameras see, or of words alone.

    Raises CheckpointError, a ValueError, where its weights know no such domain.
    """
    from gato_ros.policy.policy import GatoPolicy
    from gato_ros.policy.words import Speaker as WordsSpeaker
    if not isinstance(policy, GatoPolicy):
        raise ConfigError(f'{policy.engine.name} has no words')
    return WordsSpeaker(policy, cameras)


@contextmanager
def engine_failure() -> Iterator[None]:
    """Let a device that disappears end the process with its sentence: what it held is lost."""
    try:
        yield
    except RuntimeError as error:
        from gato_ros.policy.engine import EngineError
        if isinstance(error, EngineError):
            raise ConfigError(f'{error}; start the node again') from error
        raise
