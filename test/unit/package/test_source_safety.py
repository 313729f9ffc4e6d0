"""What the source must not do: unpickle, evaluate text, or hand text to a shell."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SOURCES = sorted((ROOT / 'gato_ros').rglob('*.py')) + sorted((ROOT / 'launch').glob('*.py'))
MODULES = {'pickle', 'cPickle', 'dill', 'cloudpickle', 'joblib', 'shelve', 'marshal'}
CALLS = {'eval', 'exec', 'compile', '__import__', 'os.system', 'os.popen', 'torch.load',
         'yaml.load', 'yaml.unsafe_load', 'subprocess.getoutput'}


def offences(source: str) -> list[str]:
    """Return what a file does that it must not."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names if a.name.split('.')[0] in MODULES]
        elif isinstance(node, ast.ImportFrom) and str(node.module).split('.')[0] in MODULES:
            found.append(str(node.module))
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            weights_only = any(k.arg == 'weights_only' and ast.unparse(k.value) == 'True'
                               for k in node.keywords)
            if name in CALLS and not (name == 'torch.load' and weights_only):
                found.append(name)
            if any((k.arg == 'shell' and ast.unparse(k.value) != 'False')
                   or (k.arg == 'allow_pickle' and ast.unparse(k.value) != 'False')
                   for k in node.keywords):
                found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize('path', SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_pickle_no_eval_no_shell(path: Path) -> None:
    assert offences(path.read_text(encoding='utf-8')) == []


def test_the_check_sees_what_it_looks_for() -> None:
    assert offences('import pickle') and offences('from pickle import load')
    assert offences('eval(text)') and offences('subprocess.run(text, shell=True)')
    assert offences('torch.load(path)') and not offences('torch.load(path, weights_only=True)')
    assert offences('np.load(path, allow_pickle=True)')
