"""What a checkpoint says of the domains that its weights know."""

from __future__ import annotations

from gato_ros.policy.checkpoint import CheckpointConfig, DomainConfig
from gato_ros.tokens.context import CAPACITY
from gato_ros.training.data.mixture import Mixture
from gato_ros.training.data.source import Source
from gato_ros.training.settings import TrainSettings

WORDS = 64  # tokens that a sentence may take beside a demonstration


def domains_of(mixture: Mixture, settings: TrainSettings, former: CheckpointConfig | None
               ) -> dict[str, DomainConfig]:
    """Return the domains of a run: those of its sources, and what it began with still knows."""
    known = dict(former.domains) if former else {}
    return known | {source.name: _config(source, settings, known.get(source.name))
                    for source in mixture.sources}


def _config(source: Source, settings: TrainSettings, former: DomainConfig | None) -> DomainConfig:
    own = source.settings
    window = own.window_timesteps
    if window is None and own.folders:  # words stand in a window of any length
        window = settings.window_timesteps
    temperature = settings.temperature if own.temperature is None else own.temperature
    tasks, sentences = set(source.tasks), set(source.sentences)
    if former is not None:
        tasks, sentences = tasks | set(former.tasks), sentences | set(former.sentences)
    return DomainConfig(source.spec, _window_tokens(source, window), window, temperature,
                        tuple(sorted(tasks)), tuple(sorted(sentences)))


def _window_tokens(source: Source, window: int | None) -> int:
    """Return the slots of the ring: 1024, or less where only few timesteps may be seen."""
    if window is None:
        return CAPACITY
    timestep = len(source.tokenizer.layout())
    return min(CAPACITY, source.longest_prompt + WORDS + window * timestep)
