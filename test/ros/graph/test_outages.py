"""Parts of a running graph that go and come back: disk, driver, gate, camera, simulator."""

from __future__ import annotations

import signal
import subprocess
import time

import numpy as np
import pytest
from plant import SLOW, WAVING, WRIST, Plant
from ros_bench import Bench, Processes, until
from std_srvs.srv import Trigger

from gato_ros.episodes.recordings.inspect import contents

pytestmark = pytest.mark.sim


def test_a_full_disk_ends_the_recording_and_nothing_else(plant: Plant, bench: Bench,
                                                         processes: Processes) -> None:
    disk = processes.folder / 'disk'
    disk.mkdir()
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=8m', 'none', disk],
                      capture_output=True).returncode:
        pytest.skip('mounting a small disk is not permitted here')
    try:
        recorder = processes.node('recorder_node', folder=disk, min_free_mb=6, buffer_mb=64)
        start = bench.node.create_client(Trigger, 'recorder/start')

        def begin() -> Trigger.Response | None:
            future = start.call_async(Trigger.Request())
            return until(future.done, 20.0, what='an answer') and future.result()

        until(start.service_is_ready, what='the recorder')
        assert begin().success
        time.sleep(3.0)  # something to record
        moment, moved = time.monotonic(), len(plant.wire)
        (disk / 'junk').write_bytes(b'0' * 3 * 2**20)  # somebody else takes the room
        plant.named('MB of free disk, expected 6 MB', moment)
        saved = until(lambda: list(disk.glob('*.mcap')), what='the recording')
        assert sum(contents(saved[0]).topics.values()) > 100  # it is whole and has its index
        assert not begin().success, 'nothing is begun on a full disk'
        if SLOW == 1:  # an overloaded machine may stop the arm for reasons of its own
            assert all(np.any(m.data) for _, m in plant.wire[moved:]), 'the arm was not to stop'
        plant.recover()
        assert all(p.poll() is None for p in (plant.safety, plant.policy, plant.simulator))
        (disk / 'junk').unlink()
        assert begin().success  # with room again, without a restart
        recorder.send_signal(signal.SIGTERM)
        assert recorder.wait(timeout=20) == 0
    finally:
        subprocess.run(['umount', '-l', disk], check=True)


def test_a_robot_driver_that_comes_back_is_recovered_from(plant: Plant) -> None:
    """All its participants vanish from the domain and others come: nobody else is restarted."""
    moment = plant.kill(plant.simulator)
    plant.simulator.wait()
    plant.stopped(moment)
    plant.start_simulator()
    plant.recover()


def test_a_gate_that_comes_back_waits_to_be_enabled(plant: Plant) -> None:
    plant.kill(plant.safety)
    plant.safety.wait()
    moment = time.monotonic()
    plant.start_safety()
    until(lambda: plant.wire[-1][0] > moment + 1.0, what='commands of the new gate')
    time.sleep(1.0)
    assert not any(np.any(m.data) for t, m in plant.wire if t > moment + 1.0)
    until(lambda: plant.state() in ('disabled', 'ready'), what='a word of the new gate')
    plant.recover()


def test_a_stalled_inference_is_no_queue(bench: Bench, processes: Processes) -> None:
    plant = Plant(bench, processes, (WAVING, '--stall-s', str(0.3 * SLOW)))
    plant.recover()
    moment = time.monotonic()
    plant.named('no proposal for', moment)
    plant.recover()
    plant.within_limits()


@pytest.mark.faults
def test_a_camera_source_that_stands_still_or_dies_is_named(bench: Bench,
                                                            processes: Processes) -> None:
    plant = Plant(bench, processes, relay=False, driver=True)
    for number in (signal.SIGSTOP, signal.SIGKILL):
        plant.recover()
        moment = plant.kill(plant.camera, number)
        named, stopped = plant.named(f'{WRIST}: nothing new', moment), plant.stopped(moment)
        print(f'{number.name} of the camera source: named after {named * 1e3:.0f} ms, zero after '
              f'{stopped * 1e3:.0f} ms')
        assert named < 1.0 or SLOW > 1
        plant.kill(plant.camera, signal.SIGCONT)
    plant.camera.wait()
    plant.start_camera()
    plant.recover()
    plant.within_limits()


@pytest.mark.faults
def test_a_simulator_that_stands_still_or_dies_stops_the_gate(plant: Plant) -> None:
    moment = plant.kill(plant.simulator, signal.SIGSTOP)
    print(f'SIGSTOP of the simulator: zero after {plant.stopped(moment) * 1e3:.0f} ms')
    plant.named('joint_states: ', moment)
    plant.kill(plant.simulator, signal.SIGCONT)
    plant.recover()
    moment = plant.kill(plant.simulator)
    plant.stopped(moment)
    plant.named('joint_states: nothing new', moment)
    plant.simulator.wait()


def test_without_the_gate_the_simulated_arm_stops_by_itself(plant: Plant) -> None:
    watchdog = plant.watchdog()
    plant.kill(plant.safety)
    until(watchdog, what='the watchdog')
    plant.safety.wait()


@pytest.mark.faults
def test_a_gate_that_stood_still_says_so_and_stops(plant: Plant) -> None:
    watchdog = plant.watchdog()
    moment = plant.kill(plant.safety, signal.SIGSTOP)
    until(watchdog, what='the watchdog')
    time.sleep(0.05 * SLOW)  # longer than its deadline in any case
    plant.kill(plant.safety, signal.SIGCONT)
    plant.named('the gate itself stood still', moment)
    plant.stopped(moment)
    plant.recover()
