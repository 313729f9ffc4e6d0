"""Questions in, answers out, token by token: of a policy that speaks about what it is shown."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np

from gato_ros.pictures import ConvertError, read_picture
from gato_ros.policy.words import PICTURE, Pictures, Speaker
from gato_ros.robot import RobotSpec
from gato_ros.untrusted import plain


def chat(speaker: Speaker, questions: Iterable[str], look: Callable[[], Pictures],
         write: Callable[[str], None]) -> None:
    """Answer each line by itself; an empty one is passed over, one that is too long refused."""
    for question in map(str.strip, questions):
        if not question:
            continue
        try:
            for piece in speaker.answer(question, look()):
                write(plain(piece))
        except ValueError as error:  # what the policy says of a question
            write(plain(str(error)))
        write('\n')


def typed() -> Iterator[str]:
    """Yield the lines of the standard input, asked for with a mark where a person types them."""
    sys.stdin.reconfigure(errors='replace')  # type: ignore[union-attr]
    while True:
        try:
            yield input('> ' if sys.stdin.isatty() else '')
        except EOFError:
            return


def named(texts: Iterable[str]) -> dict[str, str]:
    """Turn ``['front=a.png', 'wrist=b.png']`` into a mapping; a nameless one is the picture.

    Raises ConvertError where a name comes twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        camera, equals, value = text.partition('=')
        if not equals or Path(text).exists():
            camera, value = PICTURE, text
        if camera in found:
            raise ConvertError(f'{camera} is given twice ({found[camera]} and {value}), expected '
                               'a camera for each, such as front=FILE')
        found[camera] = value
    return found


def read_files(files: Mapping[str, str]) -> Pictures:
    """Read a picture file for each camera; ConvertError for one that cannot be read."""
    return {camera: read_picture(Path(file)) for camera, file in files.items()}


def read_scene(seed: int, robot: RobotSpec, out: Path) -> tuple[Pictures, Path]:
    """Return the first moment of a test seed by each of the arm's cameras, and a file of it."""
    from gato_ros.domains.language.moments import Moments
    moments = Moments(robot)
    pictures = next(iter(moments.of(seed))).pictures
    moments.close()
    out.mkdir(parents=True, exist_ok=True)
    file = out / f'scene-{seed}.png'
    wide = cv2.resize(np.hstack(list(pictures.values())), None, fx=5, fy=5,
                      interpolation=cv2.INTER_NEAREST)
    if not cv2.imwrite(str(file), cv2.cvtColor(wide, cv2.COLOR_RGB2BGR)):
        raise ConvertError(f'{file} cannot be written')
    return pictures, file


class Devices:
    """Cameras at this machine, by number or path, or films; the newest picture of each.

    Raises ConvertError for one that cannot be opened, or gives no picture.
    """

    def __init__(self, devices: Mapping[str, str]) -> None:
        self._devices, self.cameras = dict(devices), list(devices)
        self._open = {}
        for camera, device in devices.items():
            capture = cv2.VideoCapture(int(device) if device.isdigit() else device)
            if not capture.isOpened():
                raise ConvertError(f'camera {device!r} cannot be opened, expected a number, a '
                                   'device such as /dev/video0, or a film')
            capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # else old pictures wait in it
            self._open[camera] = capture

    def look(self) -> Pictures:
        """Return uint8[H, W, 3] in RGB of each camera."""
        seen = {}
        for camera, capture in self._open.items():
            good, picture = capture.read()
            if not good:
                raise ConvertError(f'camera {self._devices[camera]!r} gives no picture, expected '
                                   'one for each question')
            seen[camera] = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        return seen
