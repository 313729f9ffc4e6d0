"""Gymnasium's spaces onto the fields of a timestep, and values both ways.

| space | field |
| --- | --- |
| Box of uint8 with the shape of a picture | image, resized to ``size`` |
| another Box | continuous; through the mu-law where it has no limits |
| Discrete, MultiBinary | discrete |
| MultiDiscrete | a discrete field for each entry: name_0, name_1 ... |
| Dict, Tuple | each part by its name, parts of parts joined by a dot |
| Text | the episode's sentence |
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from gymnasium import spaces

from gato_ros.config import ConfigError
from gato_ros.domains.domain import Values
from gato_ros.spec import PATCH, ContinuousField, DiscreteField, ImageField

LARGEST = 1024  # choices that a discrete field can have


@dataclass(frozen=True)
class FieldSettings:
    """What a YAML file may say of a part of a space.

    names, units  of the values;  low, high: limits, where the space has none or too wide ones
    size          height and width in pixels that a picture is resized to, multiples of 16
    """

    names: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Part:
    """One field and its place in the space.

    read   the part's value in the space -> the field's array
    write  the field's array -> the part's value in the space
    """

    path: tuple[str | int, ...]
    field: ImageField | ContinuousField | DiscreteField
    read: Callable[[Any], np.ndarray]
    write: Callable[[np.ndarray], Any]


def parts_of(space: spaces.Space, given: Mapping[str, FieldSettings], name: str) -> list[Part]:
    """Map a space onto fields; ``name`` is the field's where the space has no names.

    Raises ConfigError for what cannot be mapped, and for settings of a part that is not there.
    """
    leaves = list(_leaves(space, (), name))
    unknown = set(given) - {title for title, _, _ in leaves}
    if unknown:
        raise ConfigError(f'{min(unknown)!r} is no part of the {name}, expected one of '
                          f'{", ".join(title for title, _, _ in leaves)}')
    return [part for title, path, leaf in leaves
            for part in _parts(title, path, leaf, given.get(title, FieldSettings()))]


def sentence_of(space: spaces.Space, value: Any, name: str) -> str:
    """Return the text in an observation; '' where the space has none."""
    return next((str(_at(value, path)) for _, path, leaf in _leaves(space, (), name)
                 if isinstance(leaf, spaces.Text)), '')


def read(parts: list[Part], value: Any) -> dict[str, np.ndarray]:
    """Return the fields' arrays of a value of the space; what it lacks is left out."""
    found = {}
    for part in parts:
        with suppress(LookupError, TypeError):
            found[part.field.name] = part.read(_at(value, part.path))
    return found


def write(parts: list[Part], values: Values, space: spaces.Space) -> Any:
    """Return the value of the space that the fields' arrays stand for."""
    found = [(part.path, part.write(np.asarray(values[part.field.name]))) for part in parts]
    return _joined(space, (), found)


def _leaves(space: spaces.Space, path: tuple[str | int, ...], name: str
            ) -> Iterator[tuple[str, tuple[str | int, ...], spaces.Space]]:
    """Yield title, path and space of all that is no Dict and no Tuple."""
    inside: list[tuple[str | int, spaces.Space]]
    if isinstance(space, spaces.Dict):
        inside = list(space.spaces.items())
    elif isinstance(space, spaces.Tuple):
        inside = list(enumerate(space.spaces))
    else:
        yield '.'.join(map(str, path)) or name, path, space
        return
    for key, part in inside:
        yield from _leaves(part, (*path, key), name)


def _parts(title: str, path: tuple[str | int, ...], space: spaces.Space, given: FieldSettings
           ) -> list[Part]:
    if isinstance(space, spaces.Text):
        return []
    if isinstance(space, spaces.Box) and space.dtype == np.uint8 and len(space.shape) >= 2:
        return [_picture(title, path, space, given)]
    if isinstance(space, spaces.Box):
        return [_continuous(title, path, space, given)]
    if isinstance(space, spaces.Discrete):
        field = _discrete(title, given.names or (title,), int(space.n))
        first = int(space.start)
        return [Part(path, field, lambda value: _whole(value) - first,
                     lambda array: int(array[0]) + first)]
    if isinstance(space, spaces.MultiBinary):
        names = given.names or _names(int(np.prod(space.shape)))
        return [Part(path, _discrete(title, names, 2),
                     _whole,
                     lambda array: array.reshape(space.shape).astype(np.int8))]
    if isinstance(space, spaces.MultiDiscrete) and len(space.shape) == 1:
        names = given.names or _names(len(space.nvec))
        return [Part((*path, i), _discrete(f'{title}_{i}', (names[i],), int(count)),
                     _whole, lambda array: int(array[0]))
                for i, count in enumerate(space.nvec)]
    raise ConfigError(f'{title!r} is {space}, expected Box, Discrete, MultiDiscrete, MultiBinary, '
                      'Text, or a Dict or Tuple of them')


def _continuous(title: str, path: tuple[str | int, ...], space: spaces.Box, given: FieldSettings
                ) -> Part:
    count = int(np.prod(space.shape))
    low = np.array(given.low or space.low.ravel(), np.float64)
    high = np.array(given.high or space.high.ravel(), np.float64)
    if len(low) != count or len(high) != count:
        raise ConfigError(f'{title!r} has {len(low)} lower and {len(high)} upper limits, expected '
                          f'{count} of each')
    # The largest numbers of a type mean that there is no limit.
    endless = not (np.abs(np.concatenate([low, high])) < 1e6).all()
    if endless:
        low, high = np.full(count, -1.0), np.full(count, 1.0)
    field = ContinuousField(title, given.names or _names(count), tuple(low.tolist()),
                            tuple(high.tolist()), given.units, mu_law=endless)
    # A type's range: what is decoded may round to just outside of it.
    return Part(path, field, lambda value: np.asarray(value, np.float64).ravel(),
                lambda array: np.clip(array.reshape(space.shape).astype(space.dtype), space.low,
                                      space.high))


def _picture(title: str, path: tuple[str | int, ...], space: spaces.Box, given: FieldSettings
             ) -> Part:
    rows, columns = space.shape[:2]
    if len(space.shape) > 3 or (len(space.shape) == 3 and space.shape[2] not in (1, 3)):
        raise ConfigError(f'{title!r} has shape {space.shape}, expected a picture: [H, W], '
                          '[H, W, 1] or [H, W, 3]')
    if given.size is None and (rows % PATCH or columns % PATCH):
        raise ConfigError(f'{title!r} is a picture of {rows}x{columns}, expected multiples of '
                          f'{PATCH} pixels; give it a size in the YAML file, such as [64, 64]')
    height, width = given.size or (rows, columns)

    def resized(value: Any) -> np.ndarray:
        picture = np.asarray(value)
        if picture.shape != space.shape:
            return picture  # who checks the timestep says what is wrong
        picture = picture.reshape(rows, columns, -1)
        if picture.shape[2] == 1:
            picture = np.repeat(picture, 3, axis=2)
        if (rows, columns) == (height, width):
            return picture.copy()
        return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)

    return Part(path, ImageField(title, height, width), resized, lambda array: array)


def _whole(value: Any) -> np.ndarray:
    """Return int64[n]; what holds no whole numbers as it is, for who checks the timestep."""
    array = np.asarray(value).ravel()
    return array.astype(np.int64) if array.dtype.kind in 'bui' else array


def _discrete(title: str, names: tuple[str, ...], count: int) -> DiscreteField:
    if count > LARGEST:
        raise ConfigError(f'{title!r} has {count} choices, expected at most {LARGEST}')
    return DiscreteField(title, names, count)


def _names(count: int) -> tuple[str, ...]:
    return tuple(str(i) for i in range(count))


def _at(value: Any, path: tuple[str | int, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def _joined(space: spaces.Space, path: tuple[str | int, ...],
            found: list[tuple[tuple[str | int, ...], Any]]) -> Any:
    """Put the parts' values together again as the space has them."""
    if isinstance(space, spaces.Dict):
        return {key: _joined(part, (*path, key), found) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(_joined(part, (*path, i), found) for i, part in enumerate(space.spaces))
    mine = [value for place, value in found if place[:len(path)] == path]
    return np.array(mine, space.dtype) if isinstance(space, spaces.MultiDiscrete) else mine[0]
