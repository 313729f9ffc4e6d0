"""Every actor by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gato_ros.config import ConfigError
from gato_ros.evaluation.actors import (
    Actor,
    ExpertActor,
    ForgetfulActor,
    NoImageActor,
    OneTimestepActor,
    Policies,
    PolicyActor,
    RandomActor,
    ReplayActor,
    StaleImageActor,
    StillActor,
)
from gato_ros.evaluation.prompted import (
    MisledActor,
    MisshownActor,
    ShownActor,
    UntoldActor,
    WordedActor,
)

POLICIES: Mapping[str, Callable[[Policies], Actor]] = {
    'policy': PolicyActor, 'no_image': NoImageActor, 'stale_image': StaleImageActor,
    'untold': UntoldActor, 'misled': MisledActor, 'shown': ShownActor, 'misshown': MisshownActor,
    'worded': WordedActor, 'one_timestep': OneTimestepActor}
SCRIPTS: Mapping[str, Callable[[], Actor]] = {
    'expert': ExpertActor, 'forgetful': ForgetfulActor, 'still': StillActor,
    'random': RandomActor, 'replay': ReplayActor}
POLICY_ACTORS = frozenset(POLICIES)
# What needs an expert.
EXPERT_ACTORS = frozenset(('expert', 'forgetful', 'replay', 'shown', 'misshown'))
CONTROLS = ('policy', 'expert', 'still', 'random', 'replay', 'no_image', 'stale_image')
ABLATION = ('policy', 'shown', 'untold', 'misled', 'misshown')  # of the prompt
MEMORY = ('policy', 'one_timestep', 'expert', 'forgetful')
ACTORS = (*CONTROLS, *ABLATION[1:], 'worded', *MEMORY[1::2])


def make_actor(name: str, policies: Policies) -> Actor:
    """Return one of ACTORS; ``policies`` is asked by those that run a checkpoint.

    Raises ConfigError for another name.
    """
    if name not in ACTORS:
        raise ConfigError(f'actor is {name!r}, expected one of {", ".join(ACTORS)}')
    return POLICIES[name](policies) if name in POLICIES else SCRIPTS[name]()
