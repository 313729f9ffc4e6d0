"""Real values to bins and back (paper, section 2.1 and appendix B).

    encode(np.array([-1.0, 0.0, 1.0]))   # [32000, 32512, 33023]
    decode(np.array([32512]))            # [0.0009765625], the bin's centre
"""

from __future__ import annotations

import numpy as np

from gato_ros.spec import ContinuousField
from gato_ros.tokens.vocab import BINS, CONTINUOUS

MU, M = 100.0, 256.0


def mu_law(values: np.ndarray) -> np.ndarray:
    """Compress values of any size: sgn(x) ln(1 + mu |x|) / ln(1 + mu M); |x| = 256 gives 1."""
    return np.sign(values) * np.log1p(MU * np.abs(values)) / np.log1p(MU * M)


def inverse_mu_law(values: np.ndarray) -> np.ndarray:
    """Undo :func:`mu_law`."""
    return np.sign(values) * np.expm1(np.abs(values) * np.log1p(MU * M)) / MU


def encode(values: np.ndarray) -> np.ndarray:
    """Bin values in [-1, 1] (clipped) into int32 ids; 1.0 goes into the last bin.

    Raises ValueError when a value is not finite.
    """
    if not np.isfinite(values).all():
        raise ValueError(f'a value is {values[~np.isfinite(values)][0]}, expected finite numbers')
    bins = np.floor((np.clip(values, -1.0, 1.0) + 1.0) / 2.0 * BINS)
    return np.minimum(bins, BINS - 1).astype(np.int32) + CONTINUOUS[0]


def decode(ids: np.ndarray) -> np.ndarray:
    """Return the centre of each id's bin, float64 in (-1, 1)."""
    return (2.0 * (np.asarray(ids, dtype=np.float64) - CONTINUOUS[0]) + 1.0) / BINS - 1.0


def encode_field(field: ContinuousField, values: np.ndarray) -> np.ndarray:
    """Turn a field's values, float[..., n] in its unit, into ids int32[..., n]."""
    values = np.asarray(values, dtype=np.float64)
    if field.mu_law:
        return encode(mu_law(values))
    low, high = np.asarray(field.low), np.asarray(field.high)
    return encode((values - low) / (high - low) * 2.0 - 1.0)


def decode_field(field: ContinuousField, ids: np.ndarray) -> np.ndarray:
    """Turn ids int[..., n] into float64[..., n] in the field's unit."""
    values = decode(ids)
    if field.mu_law:
        return inverse_mu_law(values)
    low, high = np.asarray(field.low), np.asarray(field.high)
    return low + (values + 1.0) / 2.0 * (high - low)
