"""Pictures from the world's cameras, without a screen."""

from __future__ import annotations

import atexit
import ctypes.util
import os
import sys
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gato_ros.config import ConfigError

if TYPE_CHECKING:
    import mujoco

_LATE = ('mujoco was imported before gato_ros.domains.stacking.physics and so chose a library '
         'that needs a screen; import that first, or set MUJOCO_GL to egl or osmesa')
_INSTALL = ('no OpenGL library for rendering without a screen works here (MUJOCO_GL is {}); '
            'install libegl1 with libgl1-mesa-dri, or libosmesa6')


_late = False  # whether MuJoCo was imported before choose_gl could have its say


def choose_gl() -> None:
    """Set MUJOCO_GL to egl or osmesa, whichever works, unless the user has set it.

    MuJoCo reads the variable once, when it is imported, and fails there when the choice is wrong;
    'disable' leaves the physics usable and makes the first picture raise ConfigError.
    """
    global _late
    works = {'egl': _egl_works, 'osmesa': _osmesa_works}
    chosen = os.environ.get('MUJOCO_GL')
    if chosen in works and not works[chosen]():
        raise ConfigError(_INSTALL.format(chosen))
    if chosen or sys.platform != 'linux':
        return
    if 'mujoco' in sys.modules:
        _late = True
    else:
        os.environ['MUJOCO_GL'] = next((name for name in works if works[name]()), 'disable')


def _egl_works() -> bool:
    """Initialise one EGL device, which is what MuJoCo will do."""
    try:
        egl = ctypes.CDLL('libEGL.so.1')
    except OSError:
        return False
    egl.eglGetProcAddress.restype = ctypes.c_void_p
    query = egl.eglGetProcAddress(b'eglQueryDevicesEXT')
    get_display = egl.eglGetProcAddress(b'eglGetPlatformDisplayEXT')
    if not query or not get_display:
        return False
    devices, count = (ctypes.c_void_p * 16)(), ctypes.c_int(0)
    kind = ctypes.CFUNCTYPE(ctypes.c_uint, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    if not kind(query)(16, ctypes.byref(devices), ctypes.byref(count)):
        return False
    platform_device = 0x313F  # EGL_PLATFORM_DEVICE_EXT
    display = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p)
    egl.eglInitialize.argtypes = [ctypes.c_void_p] * 3
    return any(egl.eglInitialize(display(get_display)(platform_device, device, None), None, None)
               for device in devices[:count.value])


def _osmesa_works() -> bool:
    return ctypes.util.find_library('OSMesa') is not None


@dataclass(frozen=True)
class Mark:
    """A box that is seen and never felt; at most eight in a picture.

    position  float64[3], m, of its middle;  size: half its sides, m;  rgba: in [0, 1]
    """

    position: np.ndarray
    size: tuple[float, float, float]
    rgba: tuple[float, ...]


class Camera:
    """Renders every camera of one model at one size, uint8[height, width, 3] in RGB."""

    def __init__(self, model: mujoco.MjModel, height: int, width: int) -> None:
        import mujoco

        # The off-screen buffer takes the picture's size: a larger one only costs time.
        model.vis.global_.offheight, model.vis.global_.offwidth = height, width
        if os.environ.get('MUJOCO_GL') == 'disable':
            raise ConfigError(_INSTALL.format('disable'))
        try:
            self._renderer = mujoco.Renderer(model, height, width, max_geom=model.ngeom + 8)
        except Exception as error:  # each GL library raises its own kind
            if _late:
                raise ConfigError(_LATE) from error
            raise ConfigError(_INSTALL.format(os.environ.get('MUJOCO_GL')) + f' ({error})'
                              ) from error
        if not _open:  # registered after MuJoCo's own: contexts must go before the display does
            atexit.register(_close_all)
        _open.add(self)
        flags = self._renderer.scene.flags
        for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION,
                     mujoco.mjtRndFlag.mjRND_SKYBOX, mujoco.mjtRndFlag.mjRND_HAZE):
            flags[flag] = 0

    def picture(self, data: mujoco.MjData, camera: str, marks: Sequence[Mark] = ()) -> np.ndarray:
        """Return a fresh uint8[height, width, 3] as ``camera`` sees ``data``, and ``marks``."""
        self._renderer.update_scene(data, camera)
        for mark in marks:
            self._add(mark)
        return self._renderer.render()

    def geoms(self, data: mujoco.MjData, camera: str) -> np.ndarray:
        """Return int32[height, width]: the number of the geom that each pixel shows, -1: none."""
        self._renderer.update_scene(data, camera)
        self._renderer.enable_segmentation_rendering()
        try:
            return self._renderer.render()[..., 0]
        finally:
            self._renderer.disable_segmentation_rendering()

    def _add(self, mark: Mark) -> None:
        import mujoco

        scene = self._renderer.scene
        mujoco.mjv_initGeom(
            scene.geoms[scene.ngeom], mujoco.mjtGeom.mjGEOM_BOX, np.array(mark.size, float),
            np.array(mark.position, float), np.eye(3).ravel(), np.array(mark.rgba, np.float32))
        scene.ngeom += 1

    def close(self) -> None:
        """Free the context; safe to call twice."""
        self._renderer.close()
        _open.discard(self)


_open: weakref.WeakSet[Camera] = weakref.WeakSet()


def _close_all() -> None:
    for camera in list(_open):
        camera.close()
