"""Imports run downwards only, as the table in ARCHITECTURE.md says."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / 'gato_ros'
ROS = re.compile(r'rclpy|launch(_ros)?|builtin_interfaces|rcl_interfaces|std_srvs|\w+_msgs')


def read_table() -> list[tuple[set[str], str, str]]:
    """Return ARCHITECTURE.md's table from top to bottom: who, what they import, brings in."""
    text = (ROOT / 'ARCHITECTURE.md').read_text(encoding='utf-8')
    block = text.split('## Who may import whom')[1].split('```')[1]
    rows = [re.split(r'\s{2,}', line.strip()) for line in block.strip().splitlines()]
    return [(set(who.split(', ')), allowed, brings) for who, allowed, brings in rows]


TABLE = read_table()
LAYERS = [layer for who, _, _ in TABLE for layer in sorted(who)]
LEVEL = {layer: level for level, (who, _, _) in enumerate(TABLE) for layer in who}
SOURCES = sorted(PACKAGE.rglob('*.py'))


def layer_of(module: str) -> str:
    """``gato_ros.model.gato`` -> ``model``; the package itself -> ``''``."""
    return (module.split('.') + [''])[1]


def may_import(layer: str) -> set[str]:
    """Return the layers that ``layer`` may import; all may import the lowest row."""
    _, allowed, _ = TABLE[LEVEL[layer]]
    lowest = TABLE[-1][0]
    if allowed == 'everything below':
        return {other for other in LAYERS if LEVEL[other] >= LEVEL[layer]}
    return {layer} | lowest | (set() if allowed == 'nothing of ours' else set(allowed.split(', ')))


def imports(path: Path) -> list[tuple[int, str]]:
    """Return line and absolute name of everything that a file imports, inside functions too."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}:{node.lineno}: imports are absolute in this package'
            module = str(node.module)
            # `from gato_ros import spec` names a module; `from gato_ros.spec import X` a member.
            found += [(node.lineno, f'{module}.{alias.name}') for alias in node.names]
    return found


def owner(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix('').parts
    return '' if parts == ('__init__',) else parts[0]


def test_table_is_read_whole() -> None:
    assert len(TABLE) >= 7
    assert {'nodes', 'tools'} == TABLE[0][0] and {'spec', 'config'} <= TABLE[-1][0]
    assert may_import('policy') >= {'model', 'tokens', 'spec'}
    assert not may_import('domains') & {'policy', 'model', 'tokens', 'nodes'}


def test_every_module_has_a_layer() -> None:
    assert {owner(path) for path in SOURCES} - {''} <= set(LAYERS)


@pytest.mark.parametrize('path', SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_run_downwards(path: Path) -> None:
    layer = owner(path)
    allowed = may_import(layer) if layer else set()
    torch_from = next(i for i, (_, _, brings) in enumerate(TABLE) if 'torch starts' in brings)
    for line, name in imports(path):
        where = f'{path.relative_to(ROOT)}:{line}: {layer or "gato_ros"} may not import {name}'
        top, target = name.split('.')[0], layer_of(name)
        if top == 'gato_ros' and target in LEVEL:
            assert target in allowed, where
        elif top == 'torch':
            assert layer and LEVEL[layer] <= torch_from, where
        elif ROS.fullmatch(top):
            assert layer and LEVEL[layer] == 0, where
        elif top == 'mujoco':
            assert 'domains' in allowed, where


@pytest.mark.parametrize(('upper', 'lower'), [
    ('domains', 'policy'), ('policy', 'domains'), ('safety', 'tokens'), ('tokens', 'model'),
    ('model', 'policy'), ('spec', 'tokens'), ('training', 'nodes'), ('episodes', 'training'),
    ('episodes', 'domains')])
def test_the_rule_forbids(upper: str, lower: str) -> None:
    """The table still says what the design rests on."""
    assert lower not in may_import(upper)


@pytest.mark.parametrize('module', [
    'spec', 'config', 'safety', 'tokens', 'domains.stacking', 'tools.cli'])
def test_light_modules_load_no_torch_and_no_ros(module: str) -> None:
    code = (f'import sys, gato_ros.{module}\n'
            'print(*sorted({"torch", "rclpy", "tensorboard"} & set(sys.modules)))')
    run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == '', f'gato_ros.{module} loads {run.stdout.strip()}'
