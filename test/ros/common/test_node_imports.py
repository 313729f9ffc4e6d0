"""What a node's process loads: on a robot no simulator, and in the gate no torch."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize('module', [
    'policy.policy_node', 'recorder.recorder_node', 'recorder.replay', 'safety.safety_node',
    'teleoperation.teleop_node', 'teleoperation.cockpit'])
def test_no_simulator_is_loaded_by_what_runs_on_a_robot(module: str) -> None:
    code = (f'import sys, gato_ros.nodes.{module}\n'
            'print(*{"mujoco", "OpenGL"} & set(sys.modules))')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, ''), done.stderr
