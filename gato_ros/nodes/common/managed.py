"""A lifecycle node around one worker thread.

    configure   the worker starts and loads what it needs; FAILURE, with one sentence, if it cannot
    activate    refused while ``_obstacle`` names one; from then on lifecycle publishers publish
    deactivate  the worker stops working, and keeps what it has loaded
    cleanup     the worker ends and frees it
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import SetParametersResult
from rclpy._rclpy_pybind11 import RCLError
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from gato_ros.config import ConfigError
from gato_ros.nodes.common.run import PATIENCE_S


class ManagedNode(LifecycleNode):
    """Subclasses implement ``_work``, and where they need them ``_obstacle`` and ``_begin``.

    failure  what ended the worker, if anything did
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.failure: BaseException | None = None
        self._active, self._ready = threading.Event(), threading.Event()
        self._stop = threading.Event()
        self._worker: threading.Thread | None = None
        self.add_on_set_parameters_callback(self._on_set)

    def start(self) -> None:
        """Configure and activate at once; raises what kept the worker from starting."""
        self.trigger_configure()
        if self.failure is not None:
            raise self.failure
        if self.context.ok():
            self.trigger_activate()

    def _work(self) -> None:
        """Load, set ``_ready``, then work while ``_active`` is set and until ``_stop`` is."""
        raise NotImplementedError

    def _obstacle(self) -> str:
        """Return why the node may not be activated now, '' when it may."""
        return ''

    def _begin(self) -> None:
        """Prepare for work; called on activation."""

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.failure = None
        self._stop.clear()
        self._ready.clear()
        self._worker = threading.Thread(target=self._live, name=self.get_name())
        self._worker.start()
        while not self._ready.wait(0.1):  # the executor waits too: nothing is answered before
            if not self.context.ok():  # a signal came meanwhile, and what loads may take long
                return TransitionCallbackReturn.FAILURE
        if self.failure is not None:
            self._end_worker()
            self.get_logger().error(str(self.failure))
            return TransitionCallbackReturn.FAILURE
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        obstacle = self._obstacle()
        if obstacle:
            self.get_logger().error(f'not activated: {obstacle}')
            return TransitionCallbackReturn.FAILURE
        self._begin()
        result = super().on_activate(state)
        self._active.set()
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._active.clear()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._end_worker()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._active.clear()
        self._end_worker()
        return super().on_shutdown(state)

    def _LifecycleNodeMixin__on_change_state(  # noqa: N802
            self, request: ChangeState.Request, response: ChangeState.Response
            ) -> ChangeState.Response:
        """Refuse a transition that is not possible now; rclpy's own would end the process."""
        try:
            return super()._LifecycleNodeMixin__on_change_state(request, response)
        except RCLError:
            response.success = False
            self.get_logger().error(
                f'transition {request.transition.label or request.transition.id} is not possible '
                f'in the state {self._state_machine.current_state[1]}, expected one of '
                + ', '.join(t[1] for t in self._state_machine.available_transitions))
            return response

    def close(self) -> None:
        """End the worker."""
        self._active.clear()
        self._end_worker()

    def _live(self) -> None:
        try:
            self._work()
        except Exception as error:  # nobody else would see it
            if self.context.ok():  # else it is only a publisher that has gone
                self.failure = error
                if self._ready.is_set():
                    self.context.try_shutdown()
        finally:
            self._ready.set()

    def _end_worker(self) -> None:
        self._stop.set()
        if self._worker is not None:
            self._worker.join(timeout=PATIENCE_S)
            self._worker = None

    def _on_set(self, parameters: Sequence[Parameter]) -> SetParametersResult:
        """Refuse every change while the node is active; what is loaded needs a cleanup first."""
        names = ', '.join(p.name for p in parameters)
        if self._active.is_set():
            return SetParametersResult(successful=False, reason=(
                f'{names} may not change while the node is active: deactivate it first'))
        try:
            self._check_change(parameters)
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _check_change(self, parameters: Sequence[Parameter]) -> None:
        """Raise ConfigError for a change that cannot take effect now; must not change state."""
        if self._worker is not None and parameters:
            names = ', '.join(p.name for p in parameters)
            raise ConfigError(f'{names}: what is loaded does not follow, clean up the node first')
