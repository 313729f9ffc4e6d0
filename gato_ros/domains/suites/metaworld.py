"""Meta-World's fifty tasks of one arm, with the package's scripted policies as experts.

A timestep holds 13 of the package's 39 numbers: the former frame is left out (a window shows it),
and so are the objects' rotations, which no scripted policy reads. The tasks are those of MT50:
the goal is seen, and places are drawn anew for every seed. Twelve are there from pixels, too:
one camera and the hand, and nothing of the objects.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, cast

import numpy as np

from gato_ros.domains.domain import Demonstrator, Domain, Environment, TaskSpec, Values
from gato_ros.domains.stacking.physics import mujoco  # first: it chooses how MuJoCo renders
from gato_ros.domains.stacking.render import Camera
from gato_ros.spec import ContinuousField, ImageField, Observation, TimestepSpec

# isort: split
import metaworld
from metaworld.policies import ENV_POLICY_MAP

LIMIT = 250  # timesteps of an episode; experts need 30 to 165 of them, but in
LIMITS = {'push-back': 400}
PERIOD_NS = 12_500_000  # five physics steps of 2.5 ms
AXES = ('x', 'y', 'z')

SENTENCES = {
    'assembly': 'put the ring onto the peg',
    'basketball': 'drop the ball into the basket',
    'bin-picking': 'move the cube into the other bin',
    'box-close': 'put the lid on the box',
    'button-press': 'push the button in from the front',
    'button-press-topdown': 'push the button down from above',
    'button-press-topdown-wall': 'push the button behind the wall down from above',
    'button-press-wall': 'push the button behind the wall in',
    'coffee-button': 'press the button of the coffee machine',
    'coffee-pull': 'pull the mug away from the coffee machine',
    'coffee-push': 'push the mug under the coffee machine',
    'dial-turn': 'turn the dial',
    'disassemble': 'take the ring off the peg',
    'door-close': 'close the door',
    'door-lock': 'lock the door',
    'door-open': 'open the door',
    'door-unlock': 'unlock the door',
    'drawer-close': 'close the drawer',
    'drawer-open': 'open the drawer',
    'faucet-close': 'close the faucet',
    'faucet-open': 'open the faucet',
    'hammer': 'drive the nail in with the hammer',
    'hand-insert': 'put the hand with the block into the hole',
    'handle-press': 'press the handle down',
    'handle-press-side': 'press the handle at the side down',
    'handle-pull': 'pull the handle up',
    'handle-pull-side': 'pull the handle at the side up',
    'lever-pull': 'pull the lever up',
    'peg-insert-side': 'put the peg into the hole',
    'peg-unplug-side': 'pull the peg out of the hole',
    'pick-out-of-hole': 'lift the puck out of the hole',
    'pick-place': 'lift the puck to the goal',
    'pick-place-wall': 'lift the puck over the wall to the goal',
    'plate-slide': 'slide the plate forward into the cabinet',
    'plate-slide-back': 'slide the plate back out of the cabinet',
    'plate-slide-back-side': 'slide the plate out of the cabinet sideways',
    'plate-slide-side': 'slide the plate into the cabinet sideways',
    'push': 'push the puck to the goal',
    'push-back': 'push the block back to the goal',
    'push-wall': 'push the puck around the wall to the goal',
    'reach': 'move the hand to the goal',
    'reach-wall': 'move the hand over the wall to the goal',
    'shelf-place': 'put the block on the shelf',
    'soccer': 'push the ball into the net',
    'stick-pull': 'pull the thermos with the stick',
    'stick-push': 'push the thermos with the stick',
    'sweep': 'sweep the block off the table',
    'sweep-into': 'sweep the block into the hole',
    'window-close': 'close the window',
    'window-open': 'open the window'}
# Of the five test tasks of the package's ML45: each has a relative among the others.
HELD_OUT = ('bin-picking', 'door-lock', 'hand-insert')
# What is to be moved is large in the picture, and no policy needs a goal that it does not show.
SEEN = ('button-press', 'button-press-topdown', 'coffee-button', 'door-close', 'door-open',
        'drawer-close', 'drawer-open', 'faucet-close', 'faucet-open', 'handle-press',
        'window-close', 'window-open')
PIXELS = 'pixels'  # their body, and the end of their names


def _place(name: str, low: tuple[float, ...], high: tuple[float, ...]) -> ContinuousField:
    return ContinuousField(name, AXES, low, high, ('m',) * 3)


# A little beyond where experts with noise and random actors got in measuring; the rest is clipped.
HAND = _place('hand', (-0.52, 0.36, 0.0), (0.52, 1.0, 0.52))
GRIPPER = ContinuousField('gripper', ('opening',), (0.0,), (1.0,))
OBJECT = _place('object', (-0.5, 0.35, -0.1), (0.5, 1.0, 0.5))
SECOND = _place('second_object', (-0.1, 0.0, -0.02), (0.5, 0.9, 0.3))  # zeros where there is none
GOAL = _place('goal', (-0.35, 0.35, -0.05), (0.55, 0.95, 0.5))
COLUMNS = {'hand': slice(0, 3), 'gripper': slice(3, 4), 'object': slice(4, 7),
           'second_object': slice(11, 14), 'goal': slice(36, 39)}  # of the package's 39
ACTION = ContinuousField('move', (*AXES, 'grip'), (-1.0,) * 4, (1.0,) * 4)
STATE = TimestepSpec(continuous=(HAND, GRIPPER, OBJECT, SECOND, GOAL),
                     continuous_actions=(ACTION,))
CAMERA, CAMERA_AT, FOVY = 'corner2', (0.84, 0.21, 0.69), 45.0  # m, degrees: nearer than its own
SIDE = 64  # pixels
SIGHT = TimestepSpec(images=(ImageField('camera', SIDE, SIDE),), continuous=(HAND, GRIPPER),
                     continuous_actions=(ACTION,))
SPECS = {'': STATE, PIXELS: SIGHT}  # by body

# The scripted policies ask for more than the range by design, and say so each time.
warnings.filterwarnings('ignore', 'Constant', UserWarning, r'metaworld\.policies')


class MetaWorldEnvironment(Environment):
    """A task's world; each is built once, since the suite changes the task with each episode.

    state  float64[39], the package's own observation: the scripted policies read it
    """

    spec = STATE

    def __init__(self) -> None:
        self._worlds: dict[str, Any] = {}
        self._cameras: dict[tuple[str, int], Camera] = {}

    def reset(self, task: str, seed: int) -> Observation:
        self.spec = SPECS[PIXELS if task.endswith(PIXELS) else '']
        self.task = task.removesuffix(f'-{PIXELS}')
        if self.task not in self._worlds:
            self._worlds[self.task] = _world(self.task)
        self._world = world = self._worlds[self.task]
        self._steps, self._success = 0, False
        self._limit = LIMITS.get(self.task, LIMIT)
        world._freeze_rand_vec = False
        world.seed(seed)
        world.reset_model()  # draws places, and again where they are too near to each other
        world._freeze_rand_vec = True  # they stay as drawn in the whole reset, as in MT50
        self.state, _ = world.reset()
        return self._observation()

    def step(self, values: Values) -> Observation:
        self.state, _, _, _, told = self._world.step(values['move'])
        self._steps += 1
        self._success = self._success or bool(told['success'])
        return self._observation()

    @property
    def ended(self) -> bool:
        return self._success or self._steps >= self._limit

    @property
    def score(self) -> float:
        return float(self._success)

    @property
    def success(self) -> bool:
        return self._success

    @property
    def progress(self) -> float:
        return self._steps / self._limit

    @property
    def sentence(self) -> str:
        return SENTENCES[self.task]

    def picture(self, size: int) -> np.ndarray:
        """Return uint8[S, S, 3] of the camera that the pixels are of."""
        if (self.task, size) not in self._cameras:
            self._cameras[self.task, size] = Camera(self._world.model, size, size)
        drawn = self._cameras[self.task, size].picture(self._world.data, CAMERA)
        return np.ascontiguousarray(drawn[::-1, ::-1])  # the package hung it upside down

    def twin(self) -> MetaWorldEnvironment:
        twin = MetaWorldEnvironment()
        twin.pictures = self.pictures
        return twin

    def close(self) -> None:
        for camera in self._cameras.values():
            camera.close()
        self._cameras.clear()
        self._worlds.clear()

    def _observation(self) -> Observation:
        return Observation(
            {image.name: self.picture(SIDE) for image in self.spec.images if self.pictures},
            {field.name: np.clip(self.state[COLUMNS[field.name]], field.low, field.high)
             for field in self.spec.continuous},
            stamp_ns=self._steps * PERIOD_NS)


class ScriptedPolicy:
    """The package's policy for the task; it has no memory, so it can label any state."""

    def __init__(self, environment: MetaWorldEnvironment) -> None:
        self._environment = environment
        self._policy: Any = cast(Any, ENV_POLICY_MAP[f'{environment.task}-v3'])()

    def act(self, observation: Observation) -> Values:
        # A copy: some policies write into what they read.
        action = self._policy.get_action(self._environment.state.copy())
        return {'move': np.clip(action.astype(np.float64), -1.0, 1.0)}


class MetaWorld(Domain):
    """The fifty tasks of MT50, judged by success at any time."""

    name, licence = 'metaworld', 'MIT'
    version = f'metaworld {version("metaworld")}, mujoco {mujoco.__version__}'
    tasks: Mapping[str, TaskSpec] = {
        **{name: TaskSpec(name, sentence, held_out=name in HELD_OUT)
           for name, sentence in SENTENCES.items()},
        **{f'{name}-{PIXELS}': TaskSpec(f'{name}-{PIXELS}', SENTENCES[name], PIXELS)
           for name in SEEN}}

    @property
    def suite(self) -> Sequence[str]:
        """The tasks to learn from; those held out are asked for by name."""
        return tuple(name for name, task in self.tasks.items() if not task.held_out)

    def specification(self, task: str = '') -> TimestepSpec:
        return SPECS[self.task(task).body if task else '']

    def environment(self) -> MetaWorldEnvironment:
        return MetaWorldEnvironment()

    def demonstrator(self, environment: Environment, kind: str,
                     rng: np.random.Generator) -> Demonstrator:
        world = environment.world
        assert isinstance(world, MetaWorldEnvironment)
        return ScriptedPolicy(world)


def _world(task: str) -> Any:
    """Return the package's environment of a task, whose goal is seen and places are drawn."""
    world = metaworld.ALL_V3_ENVIRONMENTS[f'{task}-v3']()
    world._partially_observable = False
    world.__dict__.pop('sawyer_observation_space', None)  # it was made for a goal that is hidden
    world.seeded_rand_vec = world._set_task_called = True
    camera = world.model.camera(CAMERA)
    camera.pos, camera.fovy = CAMERA_AT, FOVY
    world.model.vis.quality.offsamples = 0  # two thirds of a picture's cost
    return world
