"""Images to 16x16 patches in raster order, and where each patch lies (paper, section 2.1)."""

from __future__ import annotations

import numpy as np

from gato_ros.spec import PATCH, ImageField

POSITIONS = 128  # quantised rows and columns of the within-image position (appendix C.3)
PIXEL_SCALE, PIXEL_OFFSET = 2.0 / 255.0 / 4.0, -1.0 / 4.0  # [0, 255] -> [-1, 1], then / sqrt(16)


def patches(images: np.ndarray) -> np.ndarray:
    """Cut uint8[..., H, W, 3] into uint8[..., P, 16, 16, 3], row by row."""
    *lead, height, width, channels = images.shape
    rows, columns = height // PATCH, width // PATCH
    split = images.reshape(*lead, rows, PATCH, columns, PATCH, channels)
    return np.moveaxis(split, -3, -4).reshape(*lead, rows * columns, PATCH, PATCH, channels)


def normalise(pixels: np.ndarray) -> np.ndarray:
    """Scale uint8 pixels to [-0.25, 0.25], as the model does."""
    return pixels.astype(np.float32) * np.float32(PIXEL_SCALE) + np.float32(PIXEL_OFFSET)


def intervals(field: ImageField) -> tuple[np.ndarray, np.ndarray]:
    """Return each patch's row and column interval, int32[P, 2] each, upper bound exclusive.

    A patch's pixel interval is divided by the image's size and quantised to 128. In training an
    index is drawn uniformly from the interval; in evaluation it is the middle.
    """
    def edges(count: int) -> np.ndarray:
        bounds = np.rint(np.arange(count + 1) / count * POSITIONS).astype(np.int32)
        return np.stack([bounds[:-1], bounds[1:]], axis=1)

    rows, columns = edges(field.height // PATCH), edges(field.width // PATCH)
    return np.repeat(rows, len(columns), axis=0), np.tile(columns, (len(rows), 1))
