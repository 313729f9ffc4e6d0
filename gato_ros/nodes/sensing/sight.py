"""One camera of a node: its messages, each turned into what the policy sees when first asked."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

import cv2
import numpy as np
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from gato_ros.pictures import Calibration, ConvertError, describe, to_calibration, to_image
from gato_ros.robot import CameraSpec

STILL_PICTURES, STILL_RAD = 10, 0.05  # so many equal pictures while a joint moves so far
REMEMBERED = 60  # pictures: 3 s at 20 Hz


class Sight:
    """A message and its picture.

    ms  how long the conversion took, milliseconds; 0 before it
    """

    def __init__(self, msg: Image | CompressedImage, camera: CameraSpec,
                 calibration: Calibration | ConvertError | None = None) -> None:
        self.msg, self.camera, self.ms = msg, camera, 0.0
        self._calibration = calibration
        self._image: np.ndarray | ConvertError | None = None

    def image(self) -> np.ndarray:
        """Return uint8[H, W, 3] in RGB; raises ConvertError for a message that cannot be used."""
        if self._image is None:
            began = time.perf_counter()
            self._image = self._convert()
            self.ms = (time.perf_counter() - began) * 1e3
        if isinstance(self._image, ConvertError):
            raise self._image
        return self._image

    def look(self) -> None:
        """Convert it now; what is wrong is kept for whoever asks."""
        with suppress(ConvertError):
            self.image()

    def __str__(self) -> str:
        """Return what came and what it cost: '640x480 yuyv, 0.7 ms'."""
        return f'{describe(self.msg, self.camera)}, {self.ms:.1f} ms'

    def _convert(self) -> np.ndarray | ConvertError:
        try:
            if isinstance(self._calibration, ConvertError):
                raise self._calibration
            return to_image(self.msg, self.camera, self._calibration)
        except ConvertError as error:
            return error


class Eye:
    """Makes a camera's sights, with the calibration that its camera_info says, and watches it."""

    def __init__(self, camera: CameraSpec) -> None:
        cv2.setNumThreads(1)  # the caller's own: others would wait busily beside the gate
        self.camera, self.still = camera, StillPicture(camera.topic)
        self._info: CameraInfo | None = None
        self._calibration: Calibration | ConvertError | None = None

    def put_info(self, info: CameraInfo) -> None:
        """Take a camera_info; what is wrong with it is said by the pictures that need it."""
        try:
            self._calibration = to_calibration(
                [info] if self._info is None else [self._info, info], self.camera)
            self._info = info
        except ConvertError as error:
            self._calibration = error

    def see(self, msg: Image | CompressedImage) -> Sight:
        """Return the sight of a message."""
        return Sight(msg, self.camera, self._calibration)


class StillPicture:
    """Notices a camera that sends one picture again and again while the arm moves.

    An arm at rest tells nothing, so the problem lapses ``REMEMBERED`` pictures after a motion. If
    it did not, one that came of wrong joint states could never be cleared.
    """

    def __init__(self, topic: str) -> None:
        self._topic, self.problem = topic, ''
        self._data: object = None
        self._count = 0
        self._places: deque[np.ndarray] = deque(maxlen=REMEMBERED)

    def add(self, data: object, positions: Sequence[float]) -> None:
        """Compare a picture's bytes with the last one's; ``positions`` are the joints', rad."""
        if data != self._data:
            self._data, self._count = data, 0
            self._places.clear()
        self._count += 1
        place = np.asarray(positions, np.float64)
        if self._places and place.shape != self._places[0].shape:
            self._places.clear()
        if np.isfinite(place).all():
            self._places.append(place)
        moved = (np.ptp(np.array(self._places), axis=0).max(initial=0.0)
                 if self._count > STILL_PICTURES and len(self._places) > 1 else 0.0)
        self.problem = '' if moved <= STILL_RAD else (
            f'{self._topic}: the same picture {self._count} times while the arm moves, expected a '
            'camera that sees')
