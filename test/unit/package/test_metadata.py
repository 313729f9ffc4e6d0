"""What the package says about itself agrees with itself and with its source."""

import ast
import re
import runpy
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from unittest import mock

import pytest
import yaml

import gato_ros

ROOT = Path(__file__).resolve().parents[3]
MANIFEST = ElementTree.parse(ROOT / 'package.xml').getroot()
# Where a package is imported by another name than it is installed by; Triton comes with CUDA's
# torch.
INSTALLED_AS = {'Box2D': 'gymnasium', 'ale_py': 'ale-py', 'cv2': 'opencv-python-headless',
                'gymnasium_robotics': 'gymnasium-robotics', 'mcap_ros2': 'mcap-ros2-support',
                'triton': 'torch', 'yaml': 'pyyaml'}
# rosdep's keys for what apt offers in a version that is new enough.
ROSDEP = {'aiohttp': 'python3-aiohttp', 'numpy': 'python3-numpy',
          'opencv-python-headless': 'python3-opencv',
          'pyyaml': 'python3-yaml', 'rich': 'python3-rich', 'matplotlib': 'python3-matplotlib'}


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding='utf-8')


def setup_call() -> dict[str, ast.expr]:
    """Return the arguments of setup(), as written."""
    call = next(node for node in ast.walk(ast.parse(read('setup.py')))
                if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'setup')
    return {str(keyword.arg): keyword.value for keyword in call.keywords}


def setup_text(key: str) -> str:
    return ast.literal_eval(setup_call()[key])


def wheels() -> set[str]:
    """Return ROS package names that setup.py's extra ``ros`` brings as wheels."""
    names = next(ast.literal_eval(node.value) for node in ast.parse(read('setup.py')).body
                 if isinstance(node, ast.Assign) and node.targets[0].id == 'WHEELS')
    return {name.replace('-', '_') for name in names}


def names_in(requirements: str) -> dict[str, str]:
    """Return {name: the rest of the line} of a requirements or constraints file."""
    lines = (re.sub('#.*', '', line).strip() for line in read(requirements).splitlines())
    pairs = (re.fullmatch(r'([A-Za-z0-9._-]+)(.*)', line) for line in lines if line)
    return {pair[1].lower(): pair[2] for pair in pairs if pair}


def depends(*tags: str) -> set[str]:
    return {str(element.text) for tag in tags for element in MANIFEST.findall(tag)}


def imported(folder: str) -> dict[str, str]:
    """Return {top-level package: one file} of all that is imported and not ours or Python's."""
    found = {}
    for path in sorted((ROOT / folder).rglob('*.py')):
        local = {other.stem for other in (ROOT / folder).rglob('*.py')}
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            names = ([alias.name for alias in node.names] if isinstance(node, ast.Import)
                     else [str(node.module)] if isinstance(node, ast.ImportFrom) else [])
            for name in names:
                # torch's writer is a thin layer over a package that torch does not bring.
                top = 'tensorboard' if name == 'torch.utils.tensorboard' else name.split('.')[0]
                if top not in sys.stdlib_module_names and top not in local | {'gato_ros'}:
                    found[top] = str(path.relative_to(ROOT))
    return found


def is_ros(name: str) -> bool:
    return bool(re.fullmatch(
        r'rclpy|launch\w*|ament_\w+|rcl_interfaces|builtin_interfaces|std_srvs|\w+_msgs', name))


def extra(name: str) -> set[str]:
    """Return the packages of one of setup.py's extras."""
    with mock.patch('setuptools.setup') as setup:
        runpy.run_path(str(ROOT / 'setup.py'))
    lines = setup.call_args.kwargs['extras_require'][name]
    return {re.split(r'[\[<>=]', line)[0] for line in lines}


def test_versions_agree() -> None:
    version = MANIFEST.findtext('version')
    released = re.findall(r'^(\d+\.\d+\.\d+) \(\d{4}-\d\d-\d\d\)\n-+$', read('CHANGELOG.rst'),
                          re.MULTILINE)
    assert re.fullmatch(r'\d+\.\d+\.\d+', str(version))
    assert setup_text('version') == version
    assert gato_ros.__version__ == version
    assert released, 'CHANGELOG.rst has no section such as "0.1.0 (2026-11-23)" over dashes'
    assert released[0] == version


def test_licences_agree() -> None:
    assert MANIFEST.findtext('license') == setup_text('license') == 'Apache-2.0'
    text = read('LICENSE')
    assert 'Apache License' in text and 'Version 2.0, January 2004' in text
    assert 'END OF TERMS AND CONDITIONS' in text


def test_names_and_people_agree() -> None:
    name = MANIFEST.findtext('name')
    assert name == 'gato_ros' == Path(gato_ros.__file__).parent.name
    assert (ROOT / 'resource' / name).is_file()
    maintainer = MANIFEST.find('maintainer')
    assert maintainer is not None
    assert maintainer.text == setup_text('maintainer')
    assert maintainer.get('email') == setup_text('maintainer_email')
    assert MANIFEST.get('format') == '3'
    assert MANIFEST.findtext('export/build_type') == 'ament_python'


def test_every_imported_python_package_is_declared() -> None:
    declared = set(names_in('requirements.txt')).union(
        *(extra(name) for name in ('bench', 'cluster', 'domains', 'exchange')))
    for name, path in imported('gato_ros').items():
        if not is_ros(name):
            distribution = INSTALLED_AS.get(name, name)
            assert distribution in declared, f'{path} imports {name}: not in requirements.txt'
            if distribution in ROSDEP:
                assert ROSDEP[distribution] in depends('depend', 'exec_depend'), path


def test_every_imported_ros_package_is_declared() -> None:
    found = {**imported('gato_ros'), **imported('launch')}
    assert all(is_ros(name) for name in imported('launch'))
    for name in filter(is_ros, found):
        assert name in depends('depend', 'exec_depend'), f'{found[name]} imports {name}'
        # These exist in a sourced ROS 2 only.
        if not name.startswith(('launch', 'ament_index')):
            assert name in wheels(), f'{found[name]} imports {name}: not in setup.py'


def test_what_tests_import_is_declared() -> None:
    brings = extra('test') | extra('cluster')  # what needs the latter says so and is skipped
    for name, path in imported('test').items():
        if not is_ros(name):
            distribution = INSTALLED_AS.get(name, name)
            assert distribution in brings | names_in('requirements.txt').keys(), \
                f'{path} imports {name}: in no list of setup.py or requirements.txt'


def test_known_good_versions_are_exact_and_complete() -> None:
    pinned = names_in('constraints.txt')
    assert all(rest.startswith('==') for rest in pinned.values()), pinned
    needed = set(names_in('requirements.txt')) - {'torch'}  # chosen by .ci/setup
    needed |= {f'ros-jazzy-{name.replace("_", "-")}' for name in wheels()}
    assert needed <= set(pinned)


def test_executables_exist() -> None:
    """Every console script names a module and a function that are there."""
    scripts = re.findall(r"'?([\w-]+) = (gato_ros[\w.]*):(\w+)", installed_entry_points())
    assert {name for name, _, _ in scripts} >= {'gato-ros', 'policy_node', 'safety_node',
                                                'sim_node'}
    for name, module, function in scripts:
        path = ROOT / (module.replace('.', '/') + '.py')
        assert path.is_file(), f'{name} needs {path.relative_to(ROOT)}'
        assert f'\ndef {function}(' in path.read_text(encoding='utf-8'), f'{name}: {function}'


def installed_entry_points() -> str:
    """Run setup.py's own arithmetic, without installing anything."""
    code = ('import setuptools\n'
            'setuptools.setup = lambda **values: print(*values["entry_points"]'
            '["console_scripts"], sep="\\n")\n'
            'exec(compile(open("setup.py").read(), "setup.py", "exec"), '
            '{"__file__": "setup.py", "__name__": "__main__"})')
    run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_architecture_names_files_that_exist() -> None:
    """Every path that ARCHITECTURE.md mentions is one of the package's, or of the repository's."""
    paths = set(re.findall(r'[a-z_]+(?:/[a-z_]+)+\.(?:py|cpp|yaml|md)', read('ARCHITECTURE.md')))
    assert len(paths) > 20
    missing = [path for path in sorted(paths)
               if not (ROOT / path).exists() and not (ROOT / 'gato_ros' / path).exists()]
    assert not missing, f'ARCHITECTURE.md names what is not there: {missing}'


def test_architecture_names_every_room() -> None:
    text = read('ARCHITECTURE.md')
    rooms = {str(path.parent.relative_to(ROOT / 'gato_ros'))
             for path in (ROOT / 'gato_ros').glob('*/**/__init__.py')}
    assert len(rooms) > 15
    missing = [room for room in sorted(rooms) if f'`{room}/`' not in text]
    assert not missing, f'ARCHITECTURE.md does not name the rooms {missing}'


@pytest.mark.parametrize(('name', 'most'), [
    ('README.md', 200), ('ARCHITECTURE.md', None), ('CHANGELOG.rst', None),
    ('CONTRIBUTING.md', None), ('docs/results.md', None), ('docs/training.md', None)])
def test_documents_can_be_read_without_scrolling_sideways(name: str, most: int | None) -> None:
    lines = read(name).splitlines()
    long = [number for number, line in enumerate(lines, 1) if len(line) > 120]
    assert not long, f'{name}: lines {long} are longer than 120 characters'
    assert most is None or len(lines) <= most, f'{name} has {len(lines)} lines, expected {most}'


def test_links_between_documents_lead_somewhere() -> None:
    """Files are there, and so are the headings behind a #."""
    documents = [*ROOT.glob('*.md'), *ROOT.glob('docs/*.md')]
    headings = {path: {re.sub(r'[^\w -]', '', title.lower()).replace(' ', '-') for title in
                       re.findall(r'^#+ (.+)$', path.read_text(encoding='utf-8'), re.MULTILINE)}
                for path in documents}
    links = [(path, target) for path in documents for target in
             re.findall(r'\]\(([^)\s]+)\)', path.read_text(encoding='utf-8'))
             if '://' not in target]
    assert len(links) > 30
    for path, target in links:
        file, _, heading = target.partition('#')
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), f'{path.name} links to {target}: no such file'
        assert not heading or heading in headings[there], f'{path.name}: no heading {target}'


def test_the_readmes_python_runs_as_it_stands() -> None:
    code = re.findall(r'```python\n(.*?)```', read('README.md'), re.DOTALL)
    assert len(code) == 1
    run = subprocess.run([sys.executable, '-c', code[0]], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    assert len(re.findall(r'-?\d+\.\d*', run.stdout)) == 3 * 8, 'three actions of eight torques'


def test_every_machine_runs_the_same_checks() -> None:
    """The hosted workflow, pre-commit and a person give the one command .ci/run."""
    steps = [step for job in yaml.safe_load(read('.github/workflows/ci.yml'))['jobs'].values()
             for step in job['steps']]
    assert [step['run'] for step in steps if 'run' in step] == ['bash .ci/run']
    repositories = yaml.safe_load(read('.pre-commit-config.yaml'))['repos']
    hooks = {hook['id']: hook for repository in repositories for hook in repository['hooks']}
    assert (hooks['all']['entry'], hooks['all']['stages']) == ('bash .ci/run', ['manual'])
    assert 'make test\n' in read('.ci/run')
    targets = dict(re.findall(r'^(\w+):(.*)$', read('Makefile'), re.MULTILINE))
    assert 'lint' in targets['test'].split(), 'make test lints, too'
    for name, stage in (('lint', 'pre-commit'), ('unit', 'pre-push')):
        assert (hooks[name]['entry'], hooks[name]['stages']) == (f'make {name}', [stage])
        assert name in targets


@pytest.mark.slow
def test_install_brings_programs_and_data(tmp_path: Path) -> None:
    """What `pip install` puts under a prefix is what ROS and the package look for."""
    source, target = tmp_path / 'source', tmp_path / 'target'
    source.mkdir()
    for name in ('setup.py', 'setup.cfg', 'pyproject.toml', 'requirements.txt', 'package.xml'):
        shutil.copy(ROOT / name, source)
    for name in ('gato_ros', 'config', 'launch', 'sim', 'resource'):
        shutil.copytree(ROOT / name, source / name)
    run = subprocess.run([sys.executable, '-m', 'pip', 'install', '--no-deps', '--quiet',
                          '--no-build-isolation', '--target', str(target), str(source)],
                         capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    share = target / 'share'
    assert (share / 'ament_index/resource_index/packages/gato_ros').is_file()
    assert (share / 'gato_ros/package.xml').is_file()
    for folder in ('config', 'sim'):
        files = [p.relative_to(ROOT) for p in (ROOT / folder).rglob('*') if p.is_file()]
        assert files and all((share / 'gato_ros' / path).is_file() for path in files)
    for folder, pattern, place in (('launch', '*.launch.py', share / 'gato_ros/launch'),
                                   ('gato_ros/assets', '**/*.*', target / 'gato_ros/assets')):
        files = [p.relative_to(ROOT / folder) for p in (ROOT / folder).glob(pattern)]
        assert files and all((place / path).is_file() for path in files), folder
    assert {p.name for p in (target / 'bin').iterdir()} >= {'gato-ros', 'policy_node',
                                                            'safety_node', 'sim_node'}
    found = subprocess.run(
        [sys.executable, '-c', 'from gato_ros.config import data_path; import gato_ros\n'
         'print(gato_ros.__file__, data_path("config", "robots", "panda_sim.yaml"))'],
        cwd=tmp_path, env={'PYTHONPATH': str(target), 'PATH': ''}, capture_output=True, text=True)
    assert found.stdout.split() == [str(target / 'gato_ros/__init__.py'),
                                    str(share / 'gato_ros/config/robots/panda_sim.yaml')]
