"""The house: imports run one way, as the table in ARCHITECTURE.md says, and rooms stay small."""

import ast
import re
import subprocess
import sys
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
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
LONGEST, FULLEST = 400, 14  # lines of a file, files of a folder
CODE = ('.py', '.cpp', '.h', '.js')


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


def test_the_table_names_every_layer_and_no_other() -> None:
    assert set(LAYERS) == {owner(path) for path in SOURCES} - {''}
    for layer in LAYERS:
        assert may_import(layer) <= set(LAYERS), f'{layer} may import what is not there'


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


def file_graph(package: Path) -> dict[str, set[str]]:
    """Return module -> modules of the same package that its file imports, wherever it does."""
    files = {}
    for path in package.rglob('*.py'):
        parts = path.relative_to(package.parent).with_suffix('').parts
        files['.'.join(parts[:-1] if parts[-1] == '__init__' else parts)] = path
    graph: dict[str, set[str]] = {}
    for module, path in files.items():
        named = {name if name in files else name.rpartition('.')[0] for _, name in imports(path)}
        graph[module] = named & set(files) - {module}
    return graph


def circle(package: Path) -> list[str]:
    """Return modules that import each other in turn, or []."""
    try:
        TopologicalSorter(file_graph(package)).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_no_files_import_each_other_in_a_circle() -> None:
    assert circle(PACKAGE) == []


@pytest.mark.parametrize('back', [
    'from house.roof import LEVEL', 'def build():\n    from house import roof',
    'from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import house.roof'])
def test_a_circle_is_seen_wherever_the_import_stands(tmp_path: Path, back: str) -> None:
    house = tmp_path / 'house'
    house.mkdir()
    (house / '__init__.py').touch()
    (house / 'cellar.py').write_text('import sys\n')
    (house / 'roof.py').write_text('from house.wall import HEIGHT\n')
    (house / 'wall.py').write_text('from house.cellar import DEPTH\n')
    assert circle(house) == []
    (house / 'cellar.py').write_text(back)
    assert set(circle(house)) == {'house.roof', 'house.wall', 'house.cellar'}


@pytest.mark.parametrize('path', SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_file_can_be_read_at_one_go(path: Path) -> None:
    lines = len(path.read_text(encoding='utf-8').splitlines())
    assert lines <= LONGEST, f'{path.relative_to(ROOT)} has {lines} lines, expected {LONGEST}'


def test_no_folder_is_full() -> None:
    files = Counter(path.parent.relative_to(ROOT) for path in PACKAGE.rglob('*')
                    if path.suffix in CODE and path.name != '__init__.py')
    assert {str(folder): count for folder, count in files.items() if count > FULLEST} == {}


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
