"""What a mixture is made of: a source draws sequences of one specification."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch

from gato_ros.spec import TimestepSpec
from gato_ros.tokens.sequence import TimestepTokenizer
from gato_ros.training.data.group import Group
from gato_ros.training.settings import SourceSettings


@dataclass(frozen=True, eq=False)
class Targets:
    """Training-only targets: name -> size, and mean and deviation float32[n] of all of them."""

    sizes: Mapping[str, int] = field(default_factory=dict)
    mean: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    std: np.ndarray = field(default_factory=lambda: np.ones(0, np.float32))


class Source(Protocol):
    """Draws sequences of one specification; each draw is a function of the generator.

    name     in the log and in the checkpoint
    longest_prompt  tokens that a prompt may take beside the timesteps
    timesteps  how many there are: of episodes, texts or pictures
    Its checkpoint sees all that fits of texts and pictures, of episodes as many as the run says.
    """

    name: str
    spec: TimestepSpec
    tokenizer: TimestepTokenizer
    settings: SourceSettings
    targets: Targets

    @property
    def timesteps(self) -> int: ...

    @property
    def longest_prompt(self) -> int: ...

    @property
    def tasks(self) -> set[str]: ...

    @property
    def sentences(self) -> set[str]: ...

    def place(self, device: torch.device) -> None:
        """Keep the data on a device, where that is worth it."""

    def draw(self, rng: np.random.Generator, size: int) -> list[Group]:
        """Return ``size`` sequences as groups of equal layout."""


class WordSource:
    """What texts and pictures share: nothing is acted in them, and little enough to stay put."""

    targets = Targets()

    @property
    def tasks(self) -> set[str]:
        return set()

    @property
    def sentences(self) -> set[str]:
        return set()

    def place(self, device: torch.device) -> None:
        """Leave the data where it is: a batch has little of it."""
