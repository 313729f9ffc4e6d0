"""What may stand around a world: a check of every word it says, and a robot's safety gate.

    environment = open_environment(load_domain('stacking'))       # checked, behind the gate
    environment = Checked(load_domain('stacking').environment())  # checked alone, for collecting
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gato_ros.domains.domain import ActionError, Domain, DomainError, Environment, Values
from gato_ros.safety import SafetyGate
from gato_ros.spec import ContinuousField, DiscreteField, Observation, TimestepSpec
from gato_ros.workers import Overdue

ROOM = 1e-9  # by which rounding may leave a range, as a share of it


class _Wrapper(Environment):
    """Passes everything on to the environment inside."""

    def __init__(self, inside: Environment) -> None:
        self.inside = inside

    def reset(self, task: str, seed: int) -> Observation:
        inside = self.inside
        inside.pictures, inside.randomise, inside.delay_s = (
            self.pictures, self.randomise, self.delay_s)
        inside.disturbance = self.disturbance
        return inside.reset(task, seed)

    def step(self, values: Values) -> Observation:
        return self.inside.step(values)

    @property
    def spec(self) -> TimestepSpec:  # type: ignore[override]
        return self.inside.spec

    @property
    def ended(self) -> bool:
        return self.inside.ended

    @property
    def score(self) -> float:
        return self.inside.score

    @property
    def success(self) -> bool | None:
        return self.inside.success

    @property
    def failure(self) -> str:
        return self.inside.failure

    @property
    def progress(self) -> float:
        return self.inside.progress

    @property
    def sentence(self) -> str:
        return self.inside.sentence

    @property
    def world(self) -> Environment:
        return self.inside.world

    def picture(self, size: int) -> np.ndarray:
        return self.inside.picture(size)

    def targets(self) -> Mapping[str, np.ndarray]:
        return self.inside.targets()

    def still(self, former: Values | None = None) -> Values:
        return self.inside.still(former)

    def other_goal(self, seed: int) -> None:
        self.inside.other_goal(seed)

    def twin(self) -> Environment:
        twin = type(self)(self.inside.twin())
        twin.pictures, twin.randomise = self.pictures, self.randomise
        twin.disturbance = self.disturbance
        return twin

    def close(self) -> None:
        self.inside.close()


class Gated(_Wrapper):
    """A robot's world behind the safety gate, as the robot itself will be."""

    def reset(self, task: str, seed: int) -> Observation:
        observation = super().reset(task, seed)
        robot = self.inside.robot
        assert robot is not None, 'only a robot has a gate'
        self._gate, self._period = SafetyGate(robot), 1.0 / robot.rate_hz
        self._field = robot.command_field
        return observation

    def apply(self, values: Values) -> tuple[Observation, Values]:
        sent = {self._field: self._gate.check(values[self._field], self._period).effort}
        return self.inside.apply(sent)


class Checked(_Wrapper):
    """Turns a world that breaks its word into one sentence with task, seed and step."""

    def reset(self, task: str, seed: int) -> Observation:
        self._where, self._steps = f'task {task}, seed {seed}', 0
        seen = self._seen(super().reset(task, seed))
        if self.inside.ended:
            raise self._broken('the episode is over before its first step')
        return seen

    def step(self, values: Values) -> Observation:
        return self.apply(values)[0]

    def apply(self, values: Values) -> tuple[Observation, Values]:
        self.check(values)
        observation, sent = self.inside.apply(values)
        self._steps += 1
        if not np.isfinite(self.inside.score):
            raise self._broken(f'the score is {self.inside.score}, expected a finite number')
        return self._seen(observation), sent

    def check(self, values: Values) -> None:
        """Raise ActionError for values that the specification does not allow."""
        for field in self.spec.actions:
            wrong = _wrong_in(field, values)
            if wrong:
                raise ActionError(f'{self._title}: {wrong}')

    @property
    def _title(self) -> str:
        return f'{type(self.inside.world).__name__} ({self._where}, step {self._steps})'

    def _seen(self, observation: Observation) -> Observation:
        if self.inside.pictures:
            for image in self.spec.images:
                picture = self._check(observation.images, image.name,
                                      (image.height, image.width, 3))
                if picture.dtype != np.uint8:
                    raise self._broken(f'{image.name!r} holds {picture.dtype}, expected uint8')
        for tensor in self.spec.tensors:
            array = self._check(observation.proprioception, tensor.name, (tensor.size,))
            if not np.isfinite(array).all():
                raise self._broken(f'{tensor.name!r} holds {array[~np.isfinite(array)][0]}, '
                                   'expected finite numbers')
            if isinstance(tensor, DiscreteField) and not (
                    (array >= 0) & (array < tensor.count) & (array % 1 == 0)).all():
                raise self._broken(f'{tensor.name!r} is {array.tolist()}, expected whole numbers '
                                   f'in [0, {tensor.count})')
        return observation

    def _check(self, values: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...]
               ) -> np.ndarray:
        if name not in values:
            raise self._broken(f'{name!r} is missing')
        array = np.asarray(values[name])
        if array.shape != shape:
            raise self._broken(f'{name!r} has shape {array.shape}, expected {shape}')
        return array

    def _broken(self, words: str) -> DomainError:
        return DomainError(f'{self._title}: {words}')


def open_environment(domain: Domain) -> Checked:
    """Return a domain's world as an actor meets it: checked, and a robot's behind the gate.

    Raises DomainError where the domain and its environment name different robots.
    """
    inside = domain.environment()
    if inside.robot != domain.robot:
        names = [robot.name if robot else 'none' for robot in (domain.robot, inside.robot)]
        raise DomainError(f'the domain {domain.name!r} has the robot {names[0]} and its '
                          f'environment {names[1]}, expected the same: it stands behind the gate')
    return Checked(inside if inside.robot is None else Gated(inside))


def fault_of(error: Exception) -> str | None:
    """Return what a world, its expert or its package did wrong; None: the fault is not theirs."""
    if isinstance(error, (ActionError, DomainError, Overdue)):
        return str(error)
    if type(error).__module__.startswith('gato_ros.'):
        return None
    return f'{type(error).__name__}: {error}'  # whatever the code of a stranger raises


def _wrong_in(field: ContinuousField | DiscreteField, values: Values) -> str:
    """Return what is wrong with an action's field, '' where it is allowed."""
    if field.name not in values:
        return f'the action lacks {field.name!r}; given: {", ".join(values) or "none"}'
    array = np.asarray(values[field.name])
    if array.shape != (field.size,):
        return (f'{field.name!r} has shape {array.shape}, expected ({field.size},): one value for '
                f'each of {", ".join(field.names)}')
    whole = isinstance(field, DiscreteField)
    if isinstance(field, DiscreteField):
        low, high = np.zeros(field.size), np.full(field.size, field.count - 1.0)
    elif field.mu_law:
        low, high = np.full(field.size, -np.inf), np.full(field.size, np.inf)
    else:
        low, high = np.asarray(field.low), np.asarray(field.high)
    room = 0.0 if whole or np.isinf(high).all() else ROOM * (high - low)
    fits = np.isfinite(array) & (array >= low - room) & (array <= high + room)
    if fits.all() and not (whole and (array % 1).any()):
        return ''
    return (f'{field.name!r} is {array.tolist()}, expected values in '
            f'[{low.tolist()}, {high.tolist()}]' + ', whole numbers' * whole)
