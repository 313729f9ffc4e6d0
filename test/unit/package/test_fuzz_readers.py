"""A short run of `make fuzz`: some of every kind of file that was made to break its reader."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip('pyarrow', reason='pyarrow is not installed (extra exchange)')
pytest.importorskip('h5py', reason='h5py is not installed (extra exchange)')


def test_no_file_breaks_its_reader() -> None:
    fuzz = Path(__file__).parents[1] / 'helpers' / 'fuzz_readers.py'
    done = subprocess.run([sys.executable, str(fuzz), '--count', '200', '--seconds', '2'],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(', 0 wrong') == 7
