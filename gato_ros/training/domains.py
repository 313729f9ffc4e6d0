"""What a checkpoint says of the domains that its weights know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from gato_ros.config import ConfigError
from gato_ros.domains.registry import domain_of
from gato_ros.policy.checkpoint import CheckpointConfig, DomainConfig
from gato_ros.tokens.context import CAPACITY
from gato_ros.training.data.mixture import Mixture
from gato_ros.training.data.source import Source
from gato_ros.training.settings import TrainSettings

MANY = 500  # sentences that a checkpoint lists; a domain that has more says ever new ones
WORDS = 64  # tokens that a sentence may take beside a demonstration


def domains_of(mixture: Mixture, settings: TrainSettings, former: CheckpointConfig | None
               ) -> dict[str, DomainConfig]:
    """Return the domains of a run: those of its sources, and what it began with still knows."""
    known = dict(former.domains) if former else {}
    known |= {source.name: _config(source, settings, known.get(source.name),
                                   _learnt(source, known)) for source in mixture.sources}
    for source in mixture.sources:
        for name in _spoken_to(mixture, known, source.settings.wordings):
            known[name] = replace(known[name], wordings=source.name)
    return known


def _spoken_to(mixture: Mixture, known: dict[str, DomainConfig], domain: str) -> set[str]:
    """Return what a checkpoint calls the parts of a domain; none for ''."""
    if not domain:
        return set()
    of_run = {source.name for source in mixture.sources if source.settings.folders
              and (source.settings.domain or domain_of(source.settings.robot)) == domain}
    return of_run | {name for name in known if name.split('/')[0] == domain}


def _learnt(source: Source, known: Mapping[str, DomainConfig]) -> DomainConfig | None:
    """Return what a run begins with of a source: by its name, or by its very specification."""
    return known.get(source.name) or next(
        (domain for domain in known.values() if domain.timestep == source.spec), None)


def _config(source: Source, settings: TrainSettings, former: DomainConfig | None,
            learnt: DomainConfig | None) -> DomainConfig:
    own = source.settings
    window = own.window_timesteps
    if window is None and own.folders:  # words stand in a window of any length
        window = settings.window_timesteps
    if own.folders and own.timesteps == 1:
        window = _seen(source.name, window, learnt)
    if own.wordings:
        window = 2  # what was said, and what it means
    temperature = settings.temperature if own.temperature is None else own.temperature
    tasks, sentences = set(source.tasks), set(source.sentences)
    if former is not None:
        tasks, sentences = tasks | set(former.tasks), sentences | set(former.sentences)
    if len(sentences) > MANY:
        sentences = set()
    return DomainConfig(source.spec, _window_tokens(source, window), window, temperature,
                        tuple(sorted(tasks)), tuple(sorted(sentences)),
                        former.wordings if former else '')


def _seen(name: str, window: int | None, learnt: DomainConfig | None) -> int | None:
    """Return the window of a source whose sequences hold one timestep; ``window`` was asked for.

    Raises ConfigError for more than one, unless what the run begins with has learnt to see it.
    """
    if learnt is not None and learnt.window_timesteps != 1:
        return window
    if window is not None and window > 1:
        raise ConfigError(
            f'window_timesteps of {name!r} is {window}, but its sequences hold 1 timestep, '
            'expected 1, or timesteps of at least 2: a policy must not see at control what '
            'it never saw in training (both in the training file)')
    return 1


def _window_tokens(source: Source, window: int | None) -> int:
    """Return the slots of the ring: 1024, or less where only few timesteps may be seen."""
    if window is None:
        return CAPACITY
    timestep = len(source.tokenizer.layout())
    return min(CAPACITY, source.longest_prompt + WORDS + window * timestep)
