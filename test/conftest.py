"""For all tests; set before torch, MuJoCo or rclpy is imported."""

import os

import pytest

# Two threads: the models here are tiny, and ROS tests start several processes.
os.environ.setdefault('OMP_NUM_THREADS', '2')
os.environ.setdefault('OMP_WAIT_POLICY', 'passive')
# No test talks to another machine, or to a robot in this network.
os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a GPU where there is none; torch is loaded only if anything asks."""
    if item.get_closest_marker('gpu'):
        import torch
        if not torch.cuda.is_available():
            pytest.skip('no CUDA device')


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A run in which every test was skipped has shown nothing, so it fails like an empty one."""
    reporter = session.config.pluginmanager.get_plugin('terminalreporter')
    if (session.exitstatus == pytest.ExitCode.OK and reporter is not None
            and not session.config.option.collectonly and not reporter.stats.get('passed')):
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED
