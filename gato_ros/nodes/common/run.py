"""Start and stop of a node's process: one sentence for an error, one place for the clean-up."""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import NoReturn, Protocol

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from gato_ros.config import ConfigError

LOOK_S = 0.2  # between two looks at whether the process is to end
PATIENCE_S = 1.0  # with work that does not end when it is told to; twice in a node's end


class Closable(Protocol):
    """A node with a worker thread; ``failure`` is what ended the worker, if anything did."""

    failure: BaseException | None

    def close(self) -> None: ...


def run(build: Callable[[], Node], args: list[str] | None = None) -> int:
    """Build a Closable node, spin it until it is told to stop, and return the exit code.

    args  ROS arguments; None: the process's own

    The executor has one thread: callbacks only store or publish, work is the worker's. A thread
    that still loads or reads after PATIENCE_S is left where it is, and the process ends.
    """
    node = None
    failure: BaseException | None = None
    try:
        rclpy.init(args=args)
        node = build()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        # Not `spin`: a signal wakes the executor just before it ends the context, and one that
        # looked in between would wait for ever.
        while rclpy.ok():
            executor.spin_once(timeout_sec=LOOK_S)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except ConfigError as error:
        failure = error
    except Exception:
        if rclpy.ok():  # else a signal ended the context while the node was being built
            raise
    finally:
        if node is not None:
            node.close()
            failure = failure or node.failure
            node.destroy_node()
        rclpy.try_shutdown()
    code = 0 if failure is None else 1
    if isinstance(failure, ConfigError):
        print(f'error: {failure}', file=sys.stderr)
        failure = None
    _leave_behind(code, failure)
    if failure is not None:
        raise failure
    return code


def run_process(build: Callable[[], Node]) -> NoReturn:
    """Run a Closable node and end the process, without taking the interpreter apart.

    All that matters has been closed by then; to free a simulator's or a network's objects one by
    one took up to ten seconds on a busy machine, and launch was waiting for it.
    """
    code = run(build)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _leave_behind(code: int, failure: BaseException | None) -> None:
    """End the process here if a thread goes on for too long, which Python would wait for."""
    deadline = time.monotonic() + PATIENCE_S
    for thread in threading.enumerate():
        if thread is threading.current_thread() or thread.daemon:
            continue
        thread.join(max(0.0, deadline - time.monotonic()))
        if thread.is_alive():
            if failure is not None:
                traceback.print_exception(failure)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
