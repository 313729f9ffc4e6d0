"""Finds domains by name: ours, those of installed packages, and those in a file.

    load_domain('stacking')                   # ours
    load_domain('config/domains/cart.yaml')   # a Gymnasium environment by its YAML file
    load_domain('grid.py')                    # a file with one class that is a Domain
    domain, task = find_task('stacking/stack_wide')

A package registers its own by an entry point of the group ``gato_ros.domains`` that names a class
of domains.domain.Domain, to be called without arguments.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType

from gato_ros.config import ConfigError, data_path
from gato_ros.domains.domain import Domain, DomainError
from gato_ros.domains.robot import RobotDomain
from gato_ros.robot import load_robot

GROUP = 'gato_ros.domains'
DEFAULT = 'stacking'  # of a task that names no domain
OURS = {
    'atari': 'gato_ros.domains.atari.domain:Atari',
    'babyai': 'gato_ros.domains.suites.babyai:BabyAI',
    'dm_control': 'gato_ros.domains.dm_control.domain:DmControl',
    'fetch': 'gato_ros.domains.suites.fetch:Fetch',
    'gymnasium': 'gato_ros.domains.classic.domain:Classic',
    'metaworld': 'gato_ros.domains.suites.metaworld:MetaWorld',
    'minigrid': 'gato_ros.domains.suites.memory_maze:MemoryMaze',
    'ogbench': 'gato_ros.domains.suites.ogbench:OGBench',
    'sokoban': 'gato_ros.domains.suites.sokoban:Sokoban',
    'stacking': 'gato_ros.domains.stacking.domain:Stacking',
}
REAL = 'robot'  # a real one, which has recordings alone
FILES = ('.py', '.yaml', '.yml')


def domain_names() -> dict[str, str]:
    """Return every registered domain's name and where it comes from."""
    found = {**_described(), **OURS}
    return found | {point.name: point.value for point in _points() if point.name not in found}


def load_domain(name: str, robot: str = '') -> Domain:
    """Return a domain by its name or its file.

    robot  another robot than the domain's own: a name in config/robots, or a YAML file

    Raises ConfigError for one that is unknown, DomainError for one that does not load.
    """
    domain = _load(name)
    return domain.with_robot(robot) if robot else domain


def domain_of(robot: str) -> str:
    """Return the domain of a robot's episodes: the simulated ones', or that of the robot alone."""
    if robot in ('', 'panda_sim'):
        return DEFAULT
    try:
        return DEFAULT if load_robot(robot).simulation else REAL
    except ConfigError:  # whoever loads it says what is wrong
        return REAL


def find_task(reference: str, robot: str = '') -> tuple[Domain, str]:
    """Return the domain and the name of a task, given as DOMAIN/TASK or as a task of stacking.

    Raises ConfigError for what is unknown, DomainError for a domain that does not load.
    """
    head, slash, task = reference.rpartition('/')
    if _is_domain(reference):
        raise ConfigError(f'{reference!r} is a domain, expected one of its tasks: ' + ', '.join(
            f'{reference}/{name}' for name in load_domain(reference, robot).suite))
    domain = load_domain(head if slash else DEFAULT, robot)
    return domain, domain.task(task).name


def find_tasks(references: Sequence[str], robot: str = '') -> list[str]:
    """Return references of single tasks; a domain alone stands for all of its suite."""
    found = []
    for reference in references:
        if _is_domain(reference):
            domain = load_domain(reference, robot)
            found += [task if reference == DEFAULT else f'{reference}/{task}'
                      for task in domain.suite]
        else:
            find_task(reference, robot)
            found.append(reference)
    return found


def _is_domain(reference: str) -> bool:
    """Whether this names a domain, not a task."""
    return Path(reference).suffix in FILES or reference in domain_names()


@lru_cache(maxsize=64)
def _load(name: str) -> Domain:
    if Path(name).suffix == '.py':
        return _made(lambda: _in_file(Path(name)), f'domain {name}')
    if Path(name).suffix in FILES:
        return _gymnasium(Path(name))
    if name == REAL:
        return RobotDomain()
    if name in OURS:
        module, _, kind = OURS[name].partition(':')
        return getattr(_imported(module, name), kind)()
    if name in _described():
        return _gymnasium(data_path('config', 'domains', f'{name}.yaml'))
    point = next((point for point in _points() if point.name == name), None)
    if point is None:
        raise ConfigError(f'domain {name!r} is unknown, expected one of '
                          f'{", ".join(domain_names())}, or a .py or .yaml file')
    return _made(point.load, f'domain {name!r} ({point.value})')


@lru_cache(maxsize=1)  # a task is looked up for each episode, and all packages are read for this
def _points() -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=GROUP))


def _described() -> dict[str, str]:
    """Return the Gymnasium environments that have a YAML file in config/domains."""
    try:
        folder = data_path('config', 'domains')
    except ConfigError:
        return {}
    return {file.stem: str(file) for file in sorted(folder.glob('*.yaml'))}


def _gymnasium(file: Path) -> Domain:
    module = _imported('gato_ros.domains.gymnasium', 'gymnasium')
    return module.GymnasiumDomain(file)


def _imported(module: str, extra: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise DomainError(f'domain {extra!r} needs {error.name}, which is not installed; '
                          f"bring it with: pip install 'gato_ros[{extra}]'") from error


def _in_file(file: Path) -> type[Domain]:
    """Return the one class of a file that is a Domain."""
    if not file.is_file():
        raise ConfigError(f'domain {file} is not there, expected a file with a class of Domain')
    # Under its own name, so that its episodes can be made in other processes.
    name = f'gato_ros_domain_{hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:12]}'
    module_spec = importlib.util.spec_from_file_location(name, file)
    assert module_spec is not None and module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[name] = module
    module_spec.loader.exec_module(module)
    kinds = [kind for kind in vars(module).values()
             if isinstance(kind, type) and issubclass(kind, Domain) and kind.__module__ == name]
    if len(kinds) != 1:
        raise ConfigError(f'{file} has {len(kinds)} classes of Domain, expected one')
    return kinds[0]


def _made(load: Callable[[], type[Domain]], title: str) -> Domain:
    """Return the domain of a stranger's class, called without arguments."""
    try:
        made = load()()
    except (ConfigError, DomainError):
        raise
    except Exception as error:  # whatever the code of a stranger raises
        raise DomainError(f'{title} does not load: {type(error).__name__}: {error}') from error
    if not isinstance(made, Domain):
        raise DomainError(f'{title} is {type(made).__name__}, expected a class of Domain')
    if not made.tasks:
        raise DomainError(f'{title} has no tasks, expected at least one')
    return made
