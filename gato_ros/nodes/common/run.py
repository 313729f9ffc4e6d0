"""Start and stop of a node's process: one sentence for an error, one place for the clean-up."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Protocol

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from gato_ros.config import ConfigError


class Closable(Protocol):
    """A node with a worker thread; ``failure`` is what ended the worker, if anything did."""

    failure: BaseException | None

    def close(self) -> None: ...


def run(build: Callable[[], Node], args: list[str] | None = None) -> int:
    """Build a Closable node, spin it until it is told to stop, and return the exit code.

    args  ROS arguments; None: the process's own

    The executor has one thread: callbacks only store or publish, work is the worker's.
    """
    node = None
    failure: BaseException | None = None
    try:
        rclpy.init(args=args)
        node = build()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        executor.spin()
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
    if failure is None:
        return 0
    if not isinstance(failure, ConfigError):
        raise failure
    print(f'error: {failure}', file=sys.stderr)
    return 1
