"""The checkpoint as it ships: how long each stage of a control step takes."""

from __future__ import annotations

from typing import Any

from gato_ros.robot import RobotSpec
from gato_ros.tools.bench.settings import BenchSettings
from gato_ros.tools.bench.stepper import Stepper, decode_rates, percentiles, sample


def stages(settings: BenchSettings) -> dict[str, Any]:
    """The checkpoint as it ships: each stage's percentiles, tokens/s and bytes/s."""
    body = settings.body()
    stepper = Stepper(settings.load(), body)
    stepper.fill()
    times = sample(stepper.step, 5 * settings.steps)
    messages = _messages(body, settings.steps) if isinstance(body, RobotSpec) else {}
    return {'engine': stepper.policy.engine.name, **decode_rates(
                stepper.policy, times['decode']['p50']),
            'ms': {**messages, **times}}


def _messages(robot: RobotSpec, count: int) -> dict[str, Any]:
    """Return what converting an observation's messages and publishing a proposal take."""
    try:
        from gato_ros.tools.bench.graph import message_times
    except ModuleNotFoundError:
        return {}
    return {name: percentiles(times) for name, times in message_times(robot, count).items()}
