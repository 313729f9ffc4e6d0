"""Pictures with text: a caption, or a question and its answer.

A folder of pictures holds ``captions.jsonl``, a line for each text:

    {"picture": "one.png", "text": "a red block on a blue one"}
    {"picture": "one.png", "ask": "what is on top?", "text": "the red block"}
    {"picture": {"front": "two-front.png", "wrist": "two-wrist.png"}, "text": "a red block"}

Pictures of several cameras are fields by their names, in key order; or one of them is taken alone
(``camera``), as the one field that a photograph has.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from gato_ros.config import ConfigError
from gato_ros.pictures import ConvertError, read_picture, scaled
from gato_ros.spec import ImageField, TimestepSpec
from gato_ros.tokens.images import patches
from gato_ros.training.data.asked import AskedSource
from gato_ros.training.settings import SourceSettings

FILE, FIELD = 'captions.jsonl', 'picture'


class PictureSource(AskedSource):
    """Draws pictures with their texts, every text equally likely.

    Raises ConfigError for a folder without captions, or a picture that cannot be read.
    """

    def __init__(self, name: str, settings: SourceSettings) -> None:
        height, width = settings.picture_size
        lines = [(Path(folder), line) for folder in settings.pictures
                 for line in _lines(Path(folder) / FILE, settings.camera)]
        names = {tuple(sorted(line.pictures)) for _, line in lines}
        if len(names) > 1:
            raise ConfigError(f'{", ".join(settings.pictures)} hold pictures of '
                              f'{" and of ".join(" with ".join(some) for some in sorted(names))}, '
                              'expected the same of each; take one with camera')
        if not lines:
            raise ConfigError(f'{", ".join(settings.pictures)} hold no captions, expected lines '
                              f'in {FILE}')
        super().__init__(name, settings, TimestepSpec(images=tuple(
            ImageField(name, height, width) for name in names.pop())))
        found: dict[tuple[str, ...], int] = {}
        cut: list[np.ndarray] = []
        for folder, line in lines:
            files = tuple(str(folder / line.pictures[field.name]) for field in self.spec.images)
            if files not in found:
                found[files] = len(cut)
                cut.append(np.concatenate([patches(_read(file, height, width))
                                           for file in files]))
            self._add(line.ask, line.text, found[files])
        self._patches = torch.from_numpy(np.stack(cut))


@dataclass(frozen=True)
class _Line:
    """Files by their fields' names, a question or '', and the text."""

    pictures: Mapping[str, str]
    ask: str
    text: str


def _lines(file: Path, camera: str) -> list[_Line]:
    """Read a captions' file; ConfigError names the line that is wrong."""
    if not file.is_file():
        raise ConfigError(f'{file} is not there, expected a line of JSON for each text')
    found = []
    for number, text in enumerate(file.read_text(encoding='utf-8').splitlines(), 1):
        try:
            line = json.loads(text)
            shown = line['picture']
            if isinstance(shown, dict):
                named = {str(name): str(shown[name]) for name in shown}
                shown = named[camera] if camera else named
            found.append(_Line(shown if isinstance(shown, dict) else {FIELD: str(shown)},
                               str(line.get('ask', '')), str(line['text'])))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            pictures = f'{{"{camera}": FILE}}' if camera else 'FILE'
            raise ConfigError(f'{file}, line {number}: expected {{"picture": {pictures}, "text": '
                              f'WORDS}}, found {text[:100]!r}') from error
    return found


def _read(file: str, height: int, width: int) -> np.ndarray:
    """Read a picture as uint8[height, width, 3], RGB."""
    try:
        return scaled(read_picture(Path(file)), height, width)
    except ConvertError as error:
        raise ConfigError(str(error)) from error
