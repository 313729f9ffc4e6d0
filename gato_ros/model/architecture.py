"""The sizes of a model, and the presets in ``config/models``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gato_ros.config import ConfigError, data_path, from_dict, read_yaml

# Far above any model that fits into memory; beyond them building it would not come to an end.
LARGEST = {'layers': 1000, 'width': 2**16, 'heads': 2**10, 'key_size': 2**12, 'feedforward': 2**18,
           'patch_channels': 2**12, 'patch_groups': 2**12, 'max_distance': 2**16}
PRESETS = ('tiny', 'small', 'medium', '79m', '364m', '1.18b')


@dataclass(frozen=True)
class Architecture:
    """Sizes of the transformer and of its patch encoder (paper, appendix C.1).

    layers, width D, heads H, key_size  the usual ones; keys have heads x key_size values
    feedforward       hidden width of GEGLU before its split in two
    patch_channels    channels of the residual patch encoder
    patch_groups      groups of its GroupNorm
    stochastic_depth  probability that a sub-layer is skipped for a sequence in training
    max_distance      relative distances beyond this count as this one
    """

    layers: int
    width: int
    heads: int
    key_size: int
    feedforward: int
    patch_channels: int = 64
    patch_groups: int = 32
    stochastic_depth: float = 0.1
    max_distance: int = 1024

    def __post_init__(self) -> None:
        for key, largest in LARGEST.items():
            if not 1 <= getattr(self, key) <= largest:
                raise ConfigError(f'{key} is {getattr(self, key)}, expected 1 to {largest}')
        if self.feedforward % 2 or self.width % 2:
            raise ConfigError(f'width {self.width} and feedforward {self.feedforward} '
                              'must be even')
        if self.patch_channels % self.patch_groups:
            raise ConfigError(f'patch_channels {self.patch_channels} must be a multiple of '
                              f'patch_groups {self.patch_groups}')
        if not 0 <= self.stochastic_depth < 1:
            raise ConfigError(f'stochastic_depth is {self.stochastic_depth}, expected [0, 1)')


def load_architecture(name_or_path: str | Path) -> Architecture:
    """Read a preset by name (``small``) or a YAML file by its path."""
    path = Path(name_or_path)
    if path.suffix not in ('.yaml', '.yml'):
        if str(name_or_path) not in PRESETS:
            raise ConfigError(f'model {str(name_or_path)!r} is not known; presets: '
                              f'{", ".join(PRESETS)}, or give the path of a YAML file')
        path = data_path('config', 'models', f'{name_or_path}.yaml')
    return from_dict(Architecture, read_yaml(path), str(path))
