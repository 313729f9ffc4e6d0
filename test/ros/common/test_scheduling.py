"""Real-time scheduling: taken where the system permits it, said where it does not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ros_bench import TIMEOUT_S

from gato_ros.nodes.common.scheduling import WINDOW_S, Share

START = """
import os, sys, threading
import rclpy
from gato_ros.nodes.common import scheduling
rclpy.init(args=['--ros-args', '--log-level', 'warn'])
node = rclpy.create_node('test')
stop = threading.Event()
before = threading.Thread(target=stop.wait)
before.start()
if user := int(sys.argv[1]):
    os.setuid(user)
scheduling.take(node, sys.argv[2], 10, sys.argv[3] == 'lock_step')
after = threading.Thread(target=stop.wait)
after.start()
threads = list(map(int, os.listdir('/proc/self/task')))
kinds = {(os.sched_getscheduler(t), os.sched_getparam(t).sched_priority) for t in threads}
print(len(threads), sorted(kinds))
print('cores', *sorted({c for t in threads for c in os.sched_getaffinity(t)}), file=sys.stderr)
stop.set()
os._exit(0)
"""


def permitted() -> bool:
    return subprocess.run([sys.executable, '-c', 'import os; os.sched_setscheduler('
                           '0, os.SCHED_RR, os.sched_param(10))'], capture_output=True
                          ).returncode == 0


def begin(scheduling: str, mode: str = 'real_time', user: int = 0) -> tuple[int, str, str]:
    """Return how many threads there are, their classes and priorities, and what was logged."""
    run = subprocess.run([sys.executable, '-c', START, str(user), scheduling, mode],
                         capture_output=True, text=True, timeout=TIMEOUT_S,
                         cwd=Path(__file__).parent,
                         env={**os.environ, 'ROS_LOG_DIR': '/tmp'})
    count, _, found = run.stdout.strip().partition(' ')
    assert count, run.stderr
    return int(count), found, run.stderr


@pytest.mark.skipif(not permitted(), reason='the system permits no real-time scheduling here')
def test_every_thread_takes_it_those_of_the_middleware_and_later_ones_included() -> None:
    count, found, log = begin('real_time')
    assert count > 4 and found == f'[({os.SCHED_RR}, 10)]'
    cores = sorted(os.sched_getaffinity(0))
    assert log.split() == ['cores', *map(str, cores[:-1] or cores)], 'the last core stays free'


@pytest.mark.parametrize(('scheduling', 'mode'), [('ordinary', 'real_time'),
                                                  ('real_time', 'lock_step')])
def test_it_stays_ordinary_where_it_is_not_asked_for_and_in_lock_step(
        scheduling: str, mode: str) -> None:
    _, found, log = begin(scheduling, mode)
    assert found == f'[({os.SCHED_OTHER}, 0)]'
    assert log.split() == ['cores', *map(str, sorted(os.sched_getaffinity(0)))]


BUSY = """
import os, sys, time
import rclpy
from gato_ros.nodes.common import scheduling
scheduling.SHARES[10], scheduling.WINDOW_S, scheduling.LOOK_S = 0.01, 0.5, 0.1
rclpy.init(args=[])
scheduling.take(rclpy.create_node('test'), 'real_time', 10, False)
seen = [os.sched_getscheduler(0)]
while os.sched_getscheduler(0) == os.SCHED_RR:  # overdrawn
    sum(range(1000))
seen.append(os.sched_getscheduler(0))
while os.sched_getscheduler(0) == os.SCHED_OTHER:  # at rest
    time.sleep(0.05)
seen.append(os.sched_getscheduler(0))
print(seen, flush=True)
os._exit(0)
"""


@pytest.mark.skipif(not permitted(), reason='the system permits no real-time scheduling here')
def test_who_overdraws_its_share_is_ordinary_until_it_rests() -> None:
    run = subprocess.run([sys.executable, '-c', BUSY], capture_output=True, text=True,
                         timeout=TIMEOUT_S, env={**os.environ, 'ROS_LOG_DIR': '/tmp'})
    assert run.stdout.strip() == str([os.SCHED_RR, os.SCHED_OTHER, os.SCHED_RR]), run.stderr
    assert 'ordinary scheduling for now' in run.stderr
    assert 'real-time scheduling is back' in run.stderr


@pytest.mark.parametrize(('used', 'verdict'), [(0.3, False), (0.6, True)])
def test_a_share_is_a_mean_over_a_whole_window(used: float, verdict: bool) -> None:
    share = Share(0.5)
    found = [share.exceeded(second, used * second) for second in range(12)]
    assert found == [None] * int(WINDOW_S) + [verdict] * (12 - int(WINDOW_S))
    assert share.used == pytest.approx(used)
    # One second of full load in five is no overdraft of a half.
    assert share.exceeded(12, used * 11 + 1.0) is verdict or used > 0.5


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can become another user')
def test_a_user_who_may_not_is_told_so_and_the_node_goes_on() -> None:
    _, found, log = begin('real_time', user=65534)
    assert found == f'[({os.SCHED_OTHER}, 0)]'
    assert ('scheduling is real_time, and this user may not take priority 10: it stays ordinary; '
            'set rtprio to 98 in /etc/security/limits.conf') in log
