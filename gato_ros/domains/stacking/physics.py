"""MuJoCo, imported after the library that it renders with was chosen; import it from here."""

from gato_ros.domains.stacking.render import choose_gl

choose_gl()

import mujoco  # noqa: E402

__all__ = ['mujoco']
