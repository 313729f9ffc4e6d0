"""Questions in, answers out, token by token: of a policy that speaks about what it is shown."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np

from gato_ros.pictures import ConvertError, read_picture, scaled
from gato_ros.policy.checkpoint import Checkpoint
from gato_ros.policy.policy import GatoPolicy
from gato_ros.policy.words import words_domain
from gato_ros.untrusted import plain

Pictures = Mapping[str, np.ndarray]  # camera -> uint8[H, W, 3], RGB
PICTURE = 'picture'  # what the camera of a nameless picture is called


class Speaker:
    """A policy of the domain that speaks of these cameras' pictures, or of nothing but words.

    Raises CheckpointError where the checkpoint knows no such domain.
    """

    def __init__(self, checkpoint: Checkpoint, cameras: Iterable[str] = ()) -> None:
        self.domain, self.cameras = words_domain(checkpoint.config, list(cameras))
        self.policy = GatoPolicy(checkpoint, self.domain)

    def answer(self, question: str, pictures: Pictures | None = None,
               longest: int | None = None) -> Iterator[str]:
        """Yield the answer's pieces, as asked for the first time; of no question, a caption.

        Raises ValueError for a question that is too long.
        """
        self.policy.reset()
        if not self.cameras:
            return self.policy.say(question, longest=longest)
        assert pictures is not None
        fields = self.policy.tokenizer.spec.images
        shown = {field.name: _sized(pictures[camera], field.height, field.width)
                 for field, camera in zip(fields, self.cameras, strict=True)}
        return self.policy.describe(shown, question, longest=longest)


def chat(speaker: Speaker, questions: Iterable[str], look: Callable[[], Pictures] | None,
         write: Callable[[str], None]) -> None:
    """Answer each line by itself; an empty one is passed over, one that is too long refused."""
    for question in map(str.strip, questions):
        if not question:
            continue
        try:
            for piece in speaker.answer(question, look() if look else None):
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


def read_scene(seed: int, out: Path) -> tuple[Pictures, Path]:
    """Return the first moment of a test seed by each of the arm's cameras, and a file of it."""
    from gato_ros.domains.language.moments import Moments
    from gato_ros.robot import load_robot
    moments = Moments(load_robot('panda_sim'))
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


def _sized(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    same = picture.shape[:2] == (height, width)
    return picture if same else scaled(picture, height, width)
