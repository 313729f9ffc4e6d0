"""Who may speak: nobody from another computer, and with security nobody without a key."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ros_bench import ROOT, Processes, until

from gato_ros.config import data_path

OUTSIDER = str(Path(__file__).parents[1] / 'helpers' / 'outsider.py')
HERE, THERE = 'gato_here', 'gato_there'
INSECURE = "doesn't have the security libraries"


def net(*words: str) -> bool:
    """Run ip; whether it was permitted."""
    return subprocess.run(['ip', *words], capture_output=True).returncode == 0


@pytest.fixture
def two_hosts() -> Iterator[None]:
    """Two network namespaces, joined by a wire: as two computers in one network."""
    if shutil.which('ip') is None or not net('netns', 'add', HERE):
        pytest.skip('making network namespaces is not permitted here')
    try:
        ready = net('netns', 'add', THERE) and net(
            'link', 'add', 'gato0', 'netns', HERE, 'type', 'veth', 'peer', 'gato1', 'netns', THERE)
        for space, wire, address in ((HERE, 'gato0', '10.99.7.1/24'),
                                     (THERE, 'gato1', '10.99.7.2/24')):
            ready = ready and all(net('-n', space, *words) for words in (
                ('link', 'set', 'lo', 'up'), ('link', 'set', wire, 'up'),
                ('address', 'add', address, 'dev', wire),
                ('route', 'add', '224.0.0.0/4', 'dev', wire)))
        if not ready:
            pytest.skip('joining network namespaces is not permitted here')
        yield
    finally:
        for space in (HERE, THERE):
            net('netns', 'delete', space)


def outsider(space: str) -> dict:
    """Run the outsider on a host for some seconds; it looks as far as the middleware can."""
    run = subprocess.run(
        ['ip', 'netns', 'exec', space, sys.executable, OUTSIDER, '8'], cwd=ROOT, check=True,
        capture_output=True, text=True,
        env={**os.environ, 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'SUBNET'})
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.parametrize(('reach', 'known'), [('LOCALHOST', False), ('SUBNET', True)])
def test_another_host_of_the_domain_is_heard_only_where_that_was_asked_for(
        two_hosts: None, tmp_path: Path, reach: str, known: bool) -> None:
    """SUBNET shows that the wire works; LOCALHOST is what the nodes set by themselves."""
    env = dict(os.environ)
    del env['ROS_AUTOMATIC_DISCOVERY_RANGE']
    if known:
        env['ROS_AUTOMATIC_DISCOVERY_RANGE'] = reach
    with (tmp_path / 'gate.log').open('w') as log:
        gate = subprocess.Popen(
            ['ip', 'netns', 'exec', HERE, sys.executable, '-m',
             'gato_ros.nodes.safety.safety_node'],
            cwd=ROOT, env=env, stdout=log, stderr=subprocess.STDOUT)
    try:
        for _ in range(3):  # a busy machine may be slow to start the gate
            seen = outsider(THERE)
            assert gate.poll() is None, (tmp_path / 'gate.log').read_text()
            if known and seen['commands_heard']:
                break
        assert ('safety' in seen['found'], seen['commands_heard'] > 0) == (known, known)
        if not known:
            assert 'safety' in outsider(HERE)['found'], 'the gate was there all the time'
    finally:
        gate.terminate()
        gate.wait(timeout=20)


def demand_security(patch: pytest.MonkeyPatch, keystore: Path) -> None:
    patch.setenv('ROS_SECURITY_KEYSTORE', str(keystore))
    patch.setenv('ROS_SECURITY_ENABLE', 'true')
    patch.setenv('ROS_SECURITY_STRATEGY', 'Enforce')


def secured(processes: Processes) -> subprocess.Popen:
    return processes.start('-m', 'gato_ros.nodes.safety.safety_node', '--ros-args', '--enclave',
                           '/gato/safety')


def test_a_gate_that_shall_be_secure_and_cannot_does_not_start(
        processes: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that are none, or a middleware without security: never an open gate instead."""
    enclave = tmp_path / 'keystore/enclaves/gato/safety'
    enclave.mkdir(parents=True)
    for name in ('identity_ca.cert.pem', 'cert.pem', 'key.pem', 'permissions_ca.cert.pem',
                 'governance.p7s', 'permissions.p7s'):
        (enclave / name).write_text('no key')
    demand_security(monkeypatch, tmp_path / 'keystore')
    gate = secured(processes)
    assert gate.wait(timeout=60) == 1
    words = gate.log.read_text()
    assert 'Found security directory' in words and 'ecurity' in words.split('RCLError')[-1]


def test_an_outsider_without_a_key_gets_nowhere(processes: Processes, tmp_path: Path,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    """The keystore and policies of docs/safety.md; an insider shows that the gate does answer."""
    if shutil.which('ros2') is None or subprocess.run(
            ['ros2', 'security', '--help'], capture_output=True).returncode:
        pytest.skip('SROS2 (ros2 security) is not installed')
    keystore, policies = tmp_path / 'keystore', data_path('config', 'security', 'policies.xml')
    for command in (['create_keystore', keystore],
                    *([verb, keystore, f'/gato/{name}', *more] for name in ('safety', 'policy')
                      for verb, more in (('create_enclave', []),
                                         ('create_permission', [policies])))):
        subprocess.run(['ros2', 'security', *map(str, command)], check=True, capture_output=True)
    stranger = processes.start(OUTSIDER, '15')
    demand_security(monkeypatch, keystore)
    gate = secured(processes)
    insider = processes.start('-m', 'gato_ros.nodes.policy.policy_node', '--ros-args', '--enclave',
                              '/gato/policy')
    if until(lambda: gate.poll() is not None or stranger.poll() is not None, 60.0) and (
            gate.poll() is not None):
        assert INSECURE in gate.log.read_text()
        pytest.skip('this middleware was built without security')
    assert json.loads(stranger.log.read_text().splitlines()[-1]) == {'found': [],
                                                                     'commands_heard': 0}
    assert gate.poll() is None and insider.poll() is None
