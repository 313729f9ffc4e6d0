"""Domain randomisation: each episode's look and physics, drawn around the nominal model."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from gato_ros.config import ConfigError, data_path, from_dict, read_yaml
from gato_ros.domains.stacking.physics import mujoco
from gato_ros.domains.stacking.tasks import BLOCKS

_FIELDS = ('light_pos', 'light_diffuse', 'geom_rgba', 'cam_pos', 'cam_quat', 'cam_fovy',
           'geom_friction', 'body_mass', 'body_inertia')


@dataclass(frozen=True)
class Ranges:
    """Largest change to either side; see sim/randomisation.yaml for the units."""

    light_position_m: float
    light_diffuse: float
    ambient: float
    colour: float
    camera_position_m: float
    camera_tilt_rad: float
    camera_fovy_deg: float
    friction: float
    block_mass: float

    def __post_init__(self) -> None:
        for item in fields(self):
            if not 0 <= getattr(self, item.name) < np.inf:
                raise ConfigError(f'{item.name} is {getattr(self, item.name)}, expected >= 0')
        for name in ('friction', 'block_mass'):
            if getattr(self, name) >= 1:
                raise ConfigError(f'{name} is {getattr(self, name)}, expected a share below 1')


class Randomiser:
    """Changes a model within ``sim/randomisation.yaml`` and can always put it back."""

    def __init__(self, model: mujoco.MjModel) -> None:
        path = data_path('sim', 'randomisation.yaml')
        self.ranges = from_dict(Ranges, read_yaml(path), str(path))
        self._model = model
        self._nominal = {name: getattr(model, name).copy() for name in _FIELDS}
        self._ambient = np.array(model.vis.headlight.ambient)

    def restore(self) -> None:
        """Put every value back to the one in sim/stacking.xml."""
        for name, value in self._nominal.items():
            getattr(self._model, name)[:] = value
        self._model.vis.headlight.ambient[:] = self._ambient

    def draw(self, rng: np.random.Generator) -> None:
        """Draw a new world around the present one, which should be the nominal one."""
        model, ranges = self._model, self.ranges

        def change(array: np.ndarray, largest: float) -> None:
            array += rng.uniform(-largest, largest, array.shape)

        change(model.light_pos, ranges.light_position_m)
        model.light_diffuse += rng.uniform(-ranges.light_diffuse, ranges.light_diffuse)
        model.vis.headlight.ambient[:] += rng.uniform(-ranges.ambient, ranges.ambient)
        change(model.geom_rgba[:, :3], ranges.colour)
        for array in (model.light_diffuse, model.vis.headlight.ambient, model.geom_rgba):
            np.clip(array, 0.0, 1.0, out=array)
        change(model.cam_pos, ranges.camera_position_m)
        change(model.cam_fovy, ranges.camera_fovy_deg)
        for quaternion in model.cam_quat:
            mujoco.mju_quatIntegrate(quaternion, rng.uniform(-1, 1, 3), ranges.camera_tilt_rad)
        model.geom_friction *= 1 + rng.uniform(-ranges.friction, ranges.friction)
        for name in BLOCKS:
            factor = 1 + rng.uniform(-ranges.block_mass, ranges.block_mass)
            model.body_mass[model.body(name).id] *= factor
            model.body_inertia[model.body(name).id] *= factor
