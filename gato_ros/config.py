"""YAML in, frozen dataclasses out: an unknown key is an error that names the file and the key."""

from __future__ import annotations

import dataclasses
import os
import re
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

import yaml

T = TypeVar('T')
EXPONENT = re.compile(r'[+-]?\d+(\.\d*)?[eE][+-]?\d+')  # YAML 1.1 reads 6e-4 as text


class ConfigError(ValueError):
    """A configuration value that cannot be used; it names value, expectation and place."""


def data_path(*parts: str) -> Path:
    """Return an installed data file, such as ``data_path('config', 'robots', 'panda_sim.yaml')``.

    Looks into the source checkout first, then below the prefix that this package is installed
    under (by pip or colcon), then into ROS's other prefixes.

    Raises ConfigError when the file is in none of them.
    """
    package = Path(__file__).resolve().parent
    if (package.parent / 'package.xml').exists():
        places = [package.parent]
    else:  # <prefix>/lib/python3.x/site-packages/gato_ros, or <target>/gato_ros
        places = [folder / 'share' / 'gato_ros' for folder in package.parents[:4]]
    prefixes = os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)
    places += [Path(prefix) / 'share' / 'gato_ros' for prefix in prefixes if prefix]
    for place in places:
        if (place / Path(*parts)).exists():
            return place / Path(*parts)
    raise ConfigError(f'{"/".join(parts)} was found in none of: {", ".join(map(str, places))}')


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML mapping; ConfigError names the file when it is missing or malformed."""
    try:
        text = Path(path).read_text(encoding='utf-8')
    except OSError as error:
        raise ConfigError(f'{path} cannot be read: {error.strerror}') from error
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f'{path} is not valid YAML: {str(error).splitlines()[-1]}') from error
    if not isinstance(data, dict):
        raise ConfigError(f'{path} must hold a mapping, found {type(data).__name__}')
    return data


def from_dict(cls: type[T], data: Any, where: str) -> T:
    """Build dataclass ``cls`` from a mapping, recursively; ``where`` names the source in errors.

    Raises ConfigError for an unknown key, a missing key or a value of the wrong type.
    """
    if not isinstance(data, dict):
        raise ConfigError(f'{where}: expected a mapping for {cls.__name__}, found {data!r}')
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in data:
        if key not in fields:
            raise ConfigError(f'{where}: unknown key {key!r}; known keys: {", ".join(fields)}')
    values = {}
    for name, field in fields.items():
        if name in data:
            values[name] = _convert(hints[name], data[name], f'{where}: {name}')
        elif (field.default is dataclasses.MISSING
              and field.default_factory is dataclasses.MISSING):
            raise ConfigError(f'{where}: key {name!r} is missing')
    try:
        return cls(**values)
    except ValueError as error:  # it says what is wrong with the values, not where they stand
        raise ConfigError(f'{where}: {error}') from error


def to_dict(value: Any) -> Any:
    """Turn nested dataclasses and tuples into plain mappings and lists, for JSON and YAML."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_dict(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: to_dict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_dict(item) for item in value]
    return value


def _convert(hint: Any, value: Any, where: str) -> Any:
    """Check ``value`` against one type hint; an int or 6e-4 serves where a float is expected."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        options = typing.get_args(hint)
        if value is None and type(None) in options:
            return None
        return _convert(next(o for o in options if o is not type(None)), value, where)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f'{where}: expected a list, found {value!r}')
        args = typing.get_args(hint)
        if args[-1] is not Ellipsis and len(args) != len(value):
            raise ConfigError(f'{where}: expected {len(args)} values, found {value!r}')
        kinds = [args[0]] * len(value) if args[-1] is Ellipsis else args
        return tuple(_convert(k, v, f'{where}[{i}]')
                     for i, (k, v) in enumerate(zip(kinds, value, strict=True)))
    if origin is dict:
        if not isinstance(value, dict):
            raise ConfigError(f'{where}: expected a mapping, found {value!r}')
        kind = typing.get_args(hint)[1]
        return {str(k): _convert(kind, v, f'{where}.{k}') for k, v in value.items()}
    if origin is typing.Literal:
        if value not in typing.get_args(hint):
            allowed = ', '.join(map(str, typing.get_args(hint)))
            raise ConfigError(f'{where}: expected one of {allowed}, found {value!r}')
        return value
    if dataclasses.is_dataclass(hint):
        return from_dict(hint, value, where)  # type: ignore[arg-type]
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if hint is float and isinstance(value, str) and EXPONENT.fullmatch(value):
        return float(value)
    if hint is Any or (isinstance(value, hint)
                       and not (isinstance(value, bool) and hint is not bool)):
        return value
    raise ConfigError(f'{where}: expected {hint.__name__}, found {value!r}')
