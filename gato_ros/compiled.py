"""C++ of ours, compiled for this machine when it is first needed.

The compiled file stays in ``$XDG_CACHE_HOME/gato_ros`` (else ``~/.cache/gato_ros``), under a name
made of the source, the flags, the compiler and the processor, so none is ever used for another.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

COMPILERS = ('c++', 'g++', 'clang++')
# Not -ffast-math: linked with it, a library makes the whole process flush small numbers to zero.
FLAGS = ('-std=c++17', '-O3', '-march=native', '-fopenmp', '-fno-math-errno', '-fno-signed-zeros',
         '-fno-trapping-math', '-fassociative-math', '-freciprocal-math', '-shared', '-fPIC')


class CompileError(RuntimeError):
    """A library that cannot be made on this machine; one sentence for people."""


def compiled(source: Path) -> Path:
    """Return the library of a C++ file, which may include those beside it.

    Raises CompileError without a compiler or a folder to write into.
    """
    compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None:
        raise CompileError(f'no C++ compiler ({", ".join(COMPILERS)}) is on the PATH; on Debian '
                           'and Ubuntu install g++')
    version = subprocess.run([compiler, '--version'], capture_output=True).stdout
    parts = [path.read_bytes() for path in sorted(source.parent.iterdir())]
    key = hashlib.sha256(b'\n'.join([*parts, ' '.join(FLAGS).encode(), version,
                                     _processor().encode()])).hexdigest()[:16]
    cache = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'gato_ros'
    target = cache / f'{source.stem}-{key}.so'
    if target.is_file():
        return target
    try:
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(dir=cache) as folder:  # renamed: never half there
            made = Path(folder) / target.name
            run = subprocess.run([compiler, *FLAGS, str(source), '-o', str(made)],
                                 capture_output=True, text=True)
            if run.returncode:
                raise CompileError(f'{compiler} did not compile {source.name}: '
                                   f'{(run.stderr.strip().splitlines() or ["no message"])[0]}')
            os.replace(made, target)
    except OSError as error:
        raise CompileError(f'{cache} cannot hold the compiled {source.stem}: {error.strerror}; '
                           'set XDG_CACHE_HOME to a folder that can be written') from error
    return target


def _processor() -> str:
    """Return what tells this processor from another that the same home may be mounted on."""
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
    except OSError:
        return platform.machine()
    return '\n'.join(sorted({line for line in lines
                             if line.startswith(('model name', 'flags', 'Features', 'CPU part'))}))
