"""Moments of the arm's world to speak about: from the expert's episodes, and placed by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from gato_ros.domains.language.scene import FAR, Scene, look
from gato_ros.domains.stacking.env import StackingEnv
from gato_ros.domains.stacking.expert import Expert
from gato_ros.domains.stacking.reset import CENTRE
from gato_ros.domains.stacking.tasks import BLOCKS, load_task
from gato_ros.robot import RobotSpec

TASKS = {'stack_any_pair_wide': 0.45, 'stack_any_pair_narrow': 0.3, 'tower_wide': 0.25}  # shares
MOMENTS = 4  # of each seed
STEPS = {'stack': 90, 'tower': 180}  # of the expert, after which most episodes are over
PLACED = 0.5  # share of the seeds whose blocks are placed by hand
NOISE = 0.1  # deviation of the expert's torques, share of full scale: hands miss, too
REACH = np.array([0.10, 0.18])  # m from the centre, of blocks that are placed


@dataclass(frozen=True, eq=False)
class Moment:
    """Pictures by camera, uint8[H, W, 3] as the arm's policy sees them, and what they show."""

    pictures: Mapping[str, np.ndarray]
    scene: Scene


class Moments:
    """Draws moments by seed; the same seed gives the same ones."""

    def __init__(self, robot: RobotSpec) -> None:
        self._envs = {task: StackingEnv(robot, load_task(task), render=False) for task in TASKS}

    def of(self, seed: int) -> Iterator[Moment]:
        """Yield MOMENTS moments of one seed, with the nominal or a random look."""
        rng = np.random.default_rng((seed, 6))
        env = self._envs[str(rng.choice(list(TASKS), p=list(TASKS.values())))]
        env.randomise = bool(rng.random() < 0.5)
        env.reset(seed)
        placed = bool(rng.random() < PLACED)
        longest = 40 if placed else STEPS[env.task.kind]
        absent = _place(env, rng) if placed else frozenset()
        expert, scale, passed = Expert(env), env.robot.scale, 0
        for step in np.sort(rng.integers(0, longest, MOMENTS)):
            for _ in range(step - passed):
                noise = rng.normal(0, NOISE, len(scale)) * env.world.arm
                env.step(np.clip(expert.act() + noise * scale, -scale, scale))
            passed = step
            pictures = {camera.name: env.render(camera.name, camera.height, camera.width)
                        for camera in env.robot.cameras}
            yield Moment(pictures, look(env, absent))

    def close(self) -> None:
        """Free the cameras."""
        for env in self._envs.values():
            env.close()


def _place(env: StackingEnv, rng: np.random.Generator) -> frozenset[str]:
    """Put some of the blocks out of sight, the others side by side or onto each other."""
    count = int(rng.choice(len(BLOCKS) + 1, p=(0.06, 0.16, 0.26, 0.52)))
    order = [str(name) for name in rng.permutation(BLOCKS)]
    tops: list[str] = []  # blocks with room above them
    spots: list[np.ndarray] = []
    for name in order[:count]:
        onto = tops[rng.integers(len(tops))] if tops and rng.random() < 0.5 else ''
        if not onto:
            spot = _free(spots, rng)
            spots.append(spot)
            place = np.array([*spot, env.world.height(name) / 2])
        else:
            slip = rng.uniform(-0.008, 0.008, 2)
            rise = (env.world.height(onto) + env.world.height(name)) / 2
            place = env.world.block(onto) + (*slip, rise)
            tops.remove(onto)
        tops.append(name)
        env.world.place(name, place, rng.uniform(-np.pi, np.pi))
        env.world.forward()
    for number, name in enumerate(order[count:]):
        env.world.place(name, FAR + (0, 0.2 * number, 0))
    env.world.forward()
    if count > 1:
        env.retell((order[1], order[0]))
    return frozenset(order[count:])


def _free(taken: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Return a place on the table, float64[2] in m, that is 5.5 cm from others at least."""
    while True:
        spot = CENTRE + rng.uniform(-1, 1, 2) * REACH
        if all(np.linalg.norm(spot - other) > 0.055 for other in taken):
            return spot
