"""Collecting and evaluating on the nodes of a Ray cluster; two nodes here, of one core each."""

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys

import psutil
import pytest

from gato_ros import cluster
from gato_ros.cluster import ClusterError, Needs, Nodes
from gato_ros.evaluation.evaluate import evaluate
from gato_ros.evaluation.suite import EvaluateSettings
from gato_ros.policy.checkpoint import GENERALIST
from gato_ros.training.collect import CollectSettings, collect
from gato_ros.workers import WorkerError, run_jobs

pytestmark = pytest.mark.slow
TASK = 'gymnasium/frozen_lake'
needs_ray = pytest.mark.skipif(
    not cluster.installed(), reason="ray is not installed: pip install 'gato_ros[cluster]'")


def one_core():
    """Return how a node is started: told its ports, it waits for few of its parts."""
    with contextlib.ExitStack() as held:
        places = [held.enter_context(socket.create_server(('127.0.0.1', 0))) for _ in range(3)]
        ports = [place.getsockname()[1] for place in places]
    names = 'metrics_agent_port', 'metrics_export_port', 'runtime_env_agent_port'
    return {'num_cpus': 1, 'object_store_memory': 2**27, 'include_dashboard': False,
            **dict(zip(names, ports, strict=True))}


def add(nodes):
    """Add a node of one core; on a busy machine the 15 s that Ray gives it may not suffice."""
    for last in (False, False, True):
        try:
            node = nodes.add_node(**one_core())
            break
        except Exception:
            if last:
                raise
    nodes.wait_for_nodes()
    return node


@pytest.fixture(scope='module')
def two_nodes():
    os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')  # read when ray is imported
    from ray.cluster_utils import Cluster
    made = Cluster()
    add(made)
    add(made)
    yield made
    made.shutdown()


def contents(folder):
    return {str(file.relative_to(folder)): file.read_bytes()
            for file in folder.rglob('*') if file.is_file()}


def nothing(*_):
    return None


def who(_):
    """Return which process did it."""
    return os.getpid()


def fall_once(flag):
    """End the process at the first call for a flag's file."""
    if not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return flag.name


def fall(_):
    os.kill(os.getpid(), signal.SIGKILL)


def same():
    return {}


def other_here(driver):
    """What is another version on every process but the driver's."""
    return {'the domain grid': '1.0' if os.getpid() == driver else '1.1'}


@needs_ray
def test_two_nodes_collect_the_same_bytes_as_this_machine(two_nodes, tmp_path):
    """With a policy, so that a checkpoint travels there and episodes travel back."""
    for name, ray in (('here', ''), ('there', two_nodes.address)):
        settings = CollectSettings(tmp_path / name, 8, (TASK,), policy=GENERALIST, ray=ray,
                                   workers=0 if ray else 1)
        assert set(dict(collect(settings))) == set(settings.seeds)
    assert contents(tmp_path / 'here') == contents(tmp_path / 'there')
    assert len(contents(tmp_path / 'there')) == 8


@needs_ray
def test_two_nodes_evaluate_as_this_machine_does(two_nodes, tmp_path):
    found = {}
    for name, ray in (('here', ''), ('there', two_nodes.address)):
        settings = EvaluateSettings(GENERALIST, (TASK,), actors=('policy', 'random'), episodes=3,
                                    split='validation', out=tmp_path / name, ray=ray, workers=2)
        found[name] = sorted(evaluate(settings), key=lambda o: (o.actor, o.seed))
    assert found['here'] == found['there'] and len(found['there']) == 6
    assert len(list(evaluate(dataclasses.replace(settings, ray='gone:1')))) == 6, 'kept here'


@needs_ray
def test_both_nodes_work_and_a_lost_process_costs_no_job(two_nodes, tmp_path):
    needs = Needs(tmp_path, (), same, ())
    with Nodes(two_nodes.address, 0, needs) as crew:
        assert crew.size == 2
        assert len(set(crew.run(who, range(8), nothing, ()))) == 2
        flags = [tmp_path / str(number) for number in range(6)]
        for flag in flags[1:]:
            flag.touch()
        assert sorted(crew.run(fall_once, flags, nothing, ())) == [flag.name for flag in flags]
        with pytest.raises(WorkerError, match='3 processes of the cluster died at one job'):
            list(crew.run(fall, [1], nothing, ()))


@needs_ray
def test_a_node_that_dies_in_mid_episode_is_done_without(two_nodes, tmp_path):
    third = add(two_nodes)
    settings = CollectSettings(tmp_path / 'there', 24, (TASK,), ray=two_nodes.address)
    made = collect(settings)
    first = [next(made)]
    two_nodes.remove_node(third, allow_graceful=False)
    assert set(dict([*first, *made])) == set(settings.seeds)
    list(collect(CollectSettings(tmp_path / 'here', 24, (TASK,), workers=1)))
    assert contents(tmp_path / 'here') == contents(tmp_path / 'there')


@needs_ray
def test_a_node_with_another_domain_is_refused_in_a_sentence(two_nodes, tmp_path):
    needs = Needs(tmp_path, (), other_here, (os.getpid(),))
    with Nodes(two_nodes.address, 0, needs) as crew, pytest.raises(ClusterError, match=(
            r'^the node \S+ \(\S+\) differs: the domain grid is 1\.1 there and 1\.0 here; '
            'install the same there, or take the node out of the cluster$')):
        list(crew.run(who, [1], nothing, ()))


@needs_ray
def test_a_node_with_another_version_is_refused_in_a_sentence(two_nodes, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster.gato_ros, '__version__', '9.9')
    with Nodes(two_nodes.address, 0, Needs(tmp_path, (), same, ())) as crew, pytest.raises(
            ClusterError, match=r'has gato_ros 0\.\S+, expected 9\.9 as here'):
        list(crew.run(who, [1], nothing, ()))


@needs_ray
def test_nothing_of_a_job_is_left_behind(two_nodes, tmp_path):
    """Neither processes nor files, when the work is done."""
    import tempfile
    from pathlib import Path
    before = set(Path(tempfile.gettempdir()).glob('gato_ros-*'))
    with Nodes(two_nodes.address, 1, Needs(tmp_path, (GENERALIST,), same, ())) as crew:
        (process,) = set(crew.run(who, range(2), nothing, ()))
    psutil.wait_procs([psutil.Process(process)] if psutil.pid_exists(process) else [], 20)
    assert not psutil.pid_exists(process)
    assert set(Path(tempfile.gettempdir()).glob('gato_ros-*')) <= before


@pytest.mark.parametrize(('address', 'sentence'), [
    ('127.0.0.1:9', 'no Ray cluster answers at 127.0.0.1:9'),
    ('nowhere', "the Ray address is 'nowhere', expected HOST:PORT")])
def test_an_address_that_does_not_answer_is_a_sentence(tmp_path, address, sentence):
    if not cluster.installed():
        sentence = '--ray needs ray, which is not installed'
    done = subprocess.run(
        [sys.executable, '-m', 'gato_ros.tools.cli', 'collect', '--task', TASK, '--episodes', '1',
         '--out', str(tmp_path / 'data'), '--ray', address],
        capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2 and 'Traceback' not in done.stderr
    assert sentence in done.stderr.strip().splitlines()[-1], 'below the bar of the progress'


def test_processes_of_this_machine_need_no_cluster(tmp_path):
    assert len(set(run_jobs(who, range(2), 1, nothing, ()))) == 1
    with cluster.crew('', 1, Needs(tmp_path, (), same, ())) as crew:
        assert crew.size == 1 and len(list(crew.run(who, range(3), nothing, ()))) == 3
