"""What a camera's picture costs: from the message to what the policy sees, in one thread.

    python benchmarks/cameras.py --n 1000

Pictures of 640 x 480 become 64 x 64 with the default settings. Raw ones must take less than 1 ms,
a JPEG less than 4 (medians); status 1 when one does not.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np

from gato_ros.pictures import BLOCKS, ENCODINGS, Calibration, to_image
from gato_ros.robot import CameraSpec

HEIGHT, WIDTH, RAW_MS, JPEG_MS = 480, 640, 1.0, 4.0
CAMERA = CameraSpec('front', 'camera/front/image_raw', 64, 64)
K = (500.0, 0.0, 319.5, 0.0, 500.0, 239.5, 0.0, 0.0, 1.0)
LENS = Calibration(HEIGHT, WIDTH, 'plumb_bob', (-0.3, 0.1, 0.0, 0.0, 0.0), K, (0.0,) * 9,
                   (0.0,) * 12)


def raw(encoding: str) -> Any:
    """Return noise in an encoding."""
    row = WIDTH * ENCODINGS[encoding][0]
    lines = HEIGHT * 3 // 2 if BLOCKS.get(encoding) == (2, 2) else HEIGHT
    data = np.random.default_rng(0).integers(0, 256, lines * row, np.uint8).tobytes()
    return SimpleNamespace(height=HEIGHT, width=WIDTH, encoding=encoding, step=row, data=data,
                           is_bigendian=0)


def coded(ending: str) -> Any:
    """Return a picture of soft shapes with a sensor's noise, coded."""
    rng = np.random.default_rng(0)
    soft = cv2.resize(rng.integers(0, 256, (12, 16, 3), np.uint8), (WIDTH, HEIGHT),
                      interpolation=cv2.INTER_CUBIC)
    noisy = np.clip(soft + rng.normal(0, 3, soft.shape), 0, 255).astype(np.uint8)
    return SimpleNamespace(data=cv2.imencode(ending, noisy)[1].tobytes())


def measure(msg: Any, camera: CameraSpec, n: int) -> np.ndarray:
    """Return float64[n]: milliseconds of each conversion."""
    times = []
    for _ in range(n + 10):
        began = time.perf_counter()
        to_image(msg, camera, LENS)
        times.append((time.perf_counter() - began) * 1e3)
    return np.array(times[10:])


def main() -> int:
    """Print a table; return 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--n', type=int, default=1000)
    n = parser.parse_args().n
    cv2.setNumThreads(1)  # as the nodes do
    packed = dataclasses.replace(CAMERA, transport='compressed')
    rows = [(encoding, raw(encoding), CAMERA, RAW_MS) for encoding in ENCODINGS]
    rows += [('jpeg', coded('.jpg'), packed, JPEG_MS), ('png', coded('.png'), packed, np.inf),
             ('rgb8, undistort', raw('rgb8'), dataclasses.replace(CAMERA, undistort=True), np.inf)]
    missed = False
    print(f'{"640 x 480, ms":16} {"p50":>6} {"p95":>6} {"max":>6}   bar   n = {n}, OpenCV '
          f'{cv2.__version__}')
    for name, msg, camera, bar in rows:
        times = measure(msg, camera, n)
        p50, p95 = np.percentile(times, (50, 95))
        missed |= bool(p50 > bar)
        print(f'{name:16} {p50:6.2f} {p95:6.2f} {times.max():6.2f}   '
              f'{"" if np.isinf(bar) else f"{bar:g}"}')
    return int(missed)


if __name__ == '__main__':
    sys.exit(main())
