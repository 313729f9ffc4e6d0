"""One timestep as a table for people: slot, kind, id, decoded value, unit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gato_ros.config import ConfigError
from gato_ros.episodes.episode import read_info, read_slice, timestep
from gato_ros.spec import PATCH, ContinuousField, TimestepSpec, example_observation
from gato_ros.tokens import vocab
from gato_ros.tokens.continuous import decode_field
from gato_ros.tokens.sequence import Kind, TimestepTokenizer, TokenBlock


@dataclass(frozen=True)
class Row:
    """One token; ``id`` is None for an image patch, ``value`` is what the id decodes to."""

    slot: int
    name: str
    kind: str
    id: int | None
    value: str
    unit: str
    loss: bool


def example(spec: TimestepSpec, sentence: str = '') -> tuple[TimestepTokenizer, TokenBlock]:
    """Tokenise a random valid timestep, with words in front if there are any."""
    tokenizer = TimestepTokenizer(spec)
    observation = example_observation(spec)
    rng = np.random.default_rng(1)
    actions: dict[str, np.ndarray] = {f.name: rng.uniform(f.low, f.high)
                                      for f in spec.continuous_actions}
    actions |= {f.name: rng.integers(0, f.count, f.size) for f in spec.discrete_actions}
    return tokenizer, tokenizer.encode(observation.images, observation.proprioception, actions,
                                       sentence)


def recorded(spec: TimestepSpec, episode: Path, number: int
             ) -> tuple[TimestepTokenizer, TokenBlock]:
    """Tokenise timestep ``number`` of a recorded episode, with the action that was sent.

    Raises EpisodeError when the file cannot be read, ConfigError when it has no such timestep
    or another specification.
    """
    length = read_info(episode).length
    if not 0 <= number < length:
        raise ConfigError(f'{episode} has timesteps 0 to {length - 1}, not {number}')
    tokenizer = TimestepTokenizer(spec)
    seen, sent = timestep(read_slice(episode, number, number + 1), 0)
    try:
        return tokenizer, tokenizer.encode(seen.images, seen.proprioception, sent)
    except ValueError as error:
        raise ConfigError(f'{episode} does not fit the specification {spec.hash} that was asked '
                          f'for: {error}') from error


def table(tokenizer: TimestepTokenizer, block: TokenBlock) -> list[Row]:
    """Return a row for each of the block's K tokens."""
    spec, layout = tokenizer.spec, block.layout
    decoded: dict[str, tuple[str, str]] = {}
    for image in spec.images:
        across = image.width // PATCH
        for i in range(across * (image.height // PATCH)):
            row, column = divmod(i, across)
            decoded[f'{image.name}[{i}]'] = (
                f'rows {row * PATCH}-{row * PATCH + PATCH - 1}, '
                f'columns {column * PATCH}-{column * PATCH + PATCH - 1}', 'pixels')
    ids = dict(zip(layout.names, block.ids, strict=True))
    for field in (*spec.tensors, *spec.actions):
        names = [f'{field.name}.{n}' for n in field.names]
        tokens = np.array([ids[n] for n in names])
        if isinstance(field, ContinuousField):
            units = field.units or [''] * len(names)
            for name, value, unit in zip(names, decode_field(field, tokens), units, strict=True):
                decoded[name] = f'{value:.4f}', unit
        else:
            decoded |= {name: (str(token), '') for name, token in zip(names, tokens, strict=True)}
    rows = []
    for slot, (name, token) in enumerate(zip(layout.names, block.ids, strict=True)):
        value, unit = decoded.get(name, ('', ''))
        if name.startswith('text['):
            value = repr(tokenizer.text.decode(np.array([token])))
        rows.append(Row(slot, name, Kind(layout.kind[slot]).name.lower(),
                        None if token == vocab.NO_ID else int(token), value, unit,
                        bool(layout.target[slot])))
    return rows
