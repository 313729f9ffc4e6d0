"""YAML in, frozen dataclasses out: an unknown key is an error that names the file and the key."""

from __future__ import annotations

import dataclasses
import math
import os
import re
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

import yaml

from gato_ros.untrusted import DEPTH, MIB, Refused, brief, check_shape, plain, read_text

T = TypeVar('T')
LARGEST = MIB // 8  # bytes of a YAML file
LARGEST_INT = 2**53  # beyond it a float64 is no longer exact
EXPONENT = re.compile(r'[+-]?\d+(\.\d*)?[eE][+-]?\d+')  # YAML 1.1 reads 6e-4 as text


class ConfigError(ValueError):
    """A configuration value that cannot be used; it names value, expectation and place."""

    def __init__(self, sentence: str) -> None:
        """Keep what a file holds from spreading over lines, or over the whole screen."""
        super().__init__(plain(sentence))


class _Loader(yaml.SafeLoader):
    """YAML within budgets: no deep nesting, no key twice, no merge keys (which multiply)."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.depth > DEPTH:
            raise Refused(f'it is nested deeper than {DEPTH}')
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        if any(key.tag == 'tag:yaml.org,2002:merge' for key, _ in node.value):
            raise Refused('it has a merge key (<<), expected every key where it belongs')
        found = super().construct_mapping(node, deep)
        if len(found) < len(node.value):
            names = [key.value for key, _ in node.value]
            twice = next(name for name in names if names.count(name) > 1)
            raise Refused(f'key {brief(twice)} comes twice, expected each once')
        return found


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
    """Read a YAML mapping of at most LARGEST bytes, the file's or a stranger's.

    Raises ConfigError, which names the file, when it is missing, malformed or beyond a budget.
    """
    try:
        data = parse_yaml(read_text(Path(path), LARGEST))
    except OSError as error:
        raise ConfigError(f'{path} cannot be read: {error.strerror}') from error
    except Refused as error:
        raise ConfigError(f'{path} is not valid YAML: {error}') from error
    if not isinstance(data, dict):
        raise ConfigError(f'{path} must hold a mapping, found {type(data).__name__}')
    return data


def parse_yaml(text: str) -> Any:
    """Return what a YAML text says; Refused when it is malformed or beyond a budget."""
    try:
        data = _Loader(text).get_single_data()
    except Refused:
        raise
    except yaml.YAMLError as error:
        mark = getattr(error, 'problem_mark', None)
        where = f' in line {mark.line + 1}' if mark else ''
        raise Refused(f'{getattr(error, "problem", None) or error}{where}') from error
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        raise Refused(f'a value is not of its tag ({error})') from error  # such as !!int x
    check_shape(data)
    return data


def from_dict(cls: type[T], data: Any, where: str) -> T:
    """Build dataclass ``cls`` from a mapping, recursively; ``where`` names the source in errors.

    Raises ConfigError for an unknown key, a missing key or a value of the wrong type.
    """
    if not isinstance(data, dict):
        raise ConfigError(f'{where}: expected a mapping for {cls.__name__}, found {brief(data)}')
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in data:
        if key not in fields:
            raise ConfigError(f'{where}: unknown key {brief(key)}; known keys: '
                              f'{", ".join(fields)}')
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
        args = typing.get_args(hint)
        if value is None and args[-1] is Ellipsis:  # a key with nothing behind it: none
            return ()
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f'{where}: expected a list, found {brief(value)}')
        if args[-1] is not Ellipsis and len(args) != len(value):
            raise ConfigError(f'{where}: expected {len(args)} values, found {brief(value)}')
        kinds = [args[0]] * len(value) if args[-1] is Ellipsis else args
        return tuple(_convert(k, v, f'{where}[{i}]')
                     for i, (k, v) in enumerate(zip(kinds, value, strict=True)))
    if origin is dict:
        if not isinstance(value, dict):
            raise ConfigError(f'{where}: expected a mapping, found {brief(value)}')
        kind = typing.get_args(hint)[1]
        for key in value:
            if not isinstance(key, (str, int)) or len(brief(key)) > 100:
                raise ConfigError(f'{where}: expected a short name as key, found {brief(key)}')
        return {str(k): _convert(kind, v, f'{where}.{k}') for k, v in value.items()}
    if origin is typing.Literal:
        if isinstance(value, (dict, list)) or value not in typing.get_args(hint):
            allowed = ', '.join(map(str, typing.get_args(hint)))
            raise ConfigError(f'{where}: expected one of {allowed}, found {brief(value)}')
        return value
    if dataclasses.is_dataclass(hint):
        return from_dict(hint, value, where)  # type: ignore[arg-type]
    if hint is float:
        return _number(value, where)
    if hint is int and isinstance(value, int) and abs(value) > LARGEST_INT:
        raise ConfigError(f'{where}: expected at most {LARGEST_INT}, found {brief(value)}')
    if hint is Any or (isinstance(value, hint)
                       and not (isinstance(value, bool) and hint is not bool)):
        return value
    raise ConfigError(f'{where}: expected {hint.__name__}, found {brief(value)}')


def _number(value: Any, where: str) -> float:
    """Return a float64 that is finite."""
    text = isinstance(value, str) and EXPONENT.fullmatch(value)
    if not text and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise ConfigError(f'{where}: expected float, found {brief(value)}')
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ConfigError(f'{where}: expected a finite number, found {brief(value)}')
    return number
