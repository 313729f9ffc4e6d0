"""What the course of episodes rests on, so that two machines can be told apart."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import gato_ros
from gato_ros.domains.registry import find_task

LIBRARIES = ('mujoco', 'numpy', 'torch')
SOURCE = ('.py', '.cpp', '.h', '.model')


def versions(references: Sequence[str], robot: str = '') -> dict[str, str]:
    """Return names and versions or digests: of the package, of libraries, of the tasks' domains.

    Raises ConfigError or DomainError where this machine does not have such a task.
    """
    package = Path(gato_ros.__file__).parent
    found = {'gato_ros': gato_ros.__version__,
             'the source of gato_ros': _digest([
                 file.read_bytes() for file in sorted(package.rglob('*'))
                 if file.suffix in SOURCE])}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    for domain in dict.fromkeys(find_task(reference, robot)[0] for reference in references):
        found[f'the domain {domain.name}'] = ' '.join(
            filter(None, (domain.version, _digest(domain.fingerprint()))))
    return found


def _digest(parts: Sequence[bytes]) -> str:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(hashlib.sha256(part).digest())
    return whole.hexdigest()[:12]
