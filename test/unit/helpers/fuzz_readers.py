"""Files made to break their readers: each is read, or refused in one sentence, soon and small.

    python test/unit/helpers/fuzz_readers.py  # 1,000 mutations and the hand-made of each kind
    python test/unit/helpers/fuzz_readers.py mcap --count 50 --first 300 --seconds 10

A case is its kind and number, so it can be repeated. Ends with status 1 when one failed.
"""

from __future__ import annotations

import argparse
import faulthandler
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from foreign_mutants import LeRobot, Mcap, Robomimic
from mutants import Checkpoint, Episode, Kind, Text, Yaml

KINDS: dict[str, type[Kind]] = {
    'yaml': Yaml, 'checkpoint': Checkpoint, 'episode': Episode, 'mcap': Mcap, 'lerobot': LeRobot,
    'robomimic': Robomimic, 'text': Text}
SECONDS, BYTES = 20, 2 << 30  # of a processor and of memory: the most that one file may take


def run(kind: Kind, cases: list[tuple[str, Callable[[Path, random.Random], Path]]],
        folder: Path, until: float) -> tuple[int, list[str]]:
    """Read every case until ``until``; return how many, and what went wrong."""
    failed: list[str] = []
    number = 0
    for number, (name, make) in enumerate(cases, 1):
        if time.monotonic() > until:
            return number - 1, failed
        here = folder / 'case'
        shutil.rmtree(here, ignore_errors=True)
        here.mkdir()
        place = make(here, random.Random(name))
        faulthandler.dump_traceback_later(6 * SECONDS, exit=True)
        began, before = time.process_time(), peak()
        try:
            kind.read(place, here)
        except Exception as error:
            sentence = str(error)
            if not type(error).__module__.startswith('gato_ros.'):
                failed.append(f'{name}: {"".join(traceback.format_exception(error))}')
            elif len(sentence) > 1500 or not sentence.isprintable():
                failed.append(f'{name}: a sentence of {len(sentence)} characters: {sentence!r}')
        faulthandler.cancel_dump_traceback_later()
        if time.process_time() - began > SECONDS:
            failed.append(f'{name}: {time.process_time() - began:.1f} s')
        if peak() > BYTES and peak() > before:
            failed.append(f'{name}: {peak() >> 20} MiB')
    return number, failed


def peak() -> int:
    """Return the most memory that this process has had, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('kinds', nargs='*', default=list(KINDS), metavar='KIND')
    parser.add_argument('--count', type=int, default=1000, help='mutations of each kind')
    parser.add_argument('--first', type=int, default=0, help='number of the first one')
    parser.add_argument('--seconds', type=float, default=1e9, help='for each kind, at most')
    wanted = parser.parse_args()
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_DATA, (4 * BYTES, resource.RLIM_INFINITY))
    bad = 0
    for name in wanted.kinds:
        with tempfile.TemporaryDirectory() as folder:
            kind = KINDS[name](Path(folder))
            cases = [(f'{name} {label}', make) for label, make in kind.made()]
            cases += [(f'{name} {i}', kind.mutate)
                      for i in range(wanted.first, wanted.first + wanted.count)]
            random.Random(0).shuffle(cases)  # so that a short run sees some of each
            began = time.monotonic()
            count, failed = run(kind, cases, Path(folder), began + wanted.seconds)
        print(f'{name}: {count} files in {time.monotonic() - began:.0f} s, {peak() >> 20} MiB at '
              f'most so far, {len(failed)} wrong', flush=True)
        for words in failed:
            print(words, flush=True)
        bad += len(failed)
    sys.exit(bool(bad))


if __name__ == '__main__':
    main()
