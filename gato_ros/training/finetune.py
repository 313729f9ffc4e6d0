"""From a folder of recordings to a run that begins with a checkpoint.

    prepared = prepare(Path('demos'), Path('runs/mine'), load_robot('panda_sim'), SHIPPED)
    train(prepared.settings, Path('runs/mine'), start_from=SHIPPED)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gato_ros.config import to_dict
from gato_ros.episodes.bag import import_bag
from gato_ros.episodes.episode import SUFFIX, EpisodeInfo, read_info
from gato_ros.episodes.mcap_file import BagError
from gato_ros.policy.checkpoint import CheckpointConfig, load_checkpoint, require_match
from gato_ros.spec import RobotSpec
from gato_ros.training.settings import TrainSettings, load_settings

PASSES = 20  # over all timesteps
LEAST, MOST = 100, 3000  # optimiser steps
# How sequences are made must not change, or the weights meet what they have not learnt to read.
KEPT = ('data.timesteps', 'data.prompt_fraction', 'data.prompt_timesteps', 'data.prompt_at_end',
        'data.sentence_fraction', 'data.named_fraction', 'smoothing_bins', 'history_dropout')


@dataclass(frozen=True)
class Prepared:
    """The settings of a run, the episodes that it learns from, and why others are not among them.

    refused  recording -> sentence
    """

    settings: TrainSettings
    episodes: Mapping[Path, EpisodeInfo]
    refused: Mapping[Path, str]


def prepare(demos: Path, out: Path, robot: RobotSpec, start_from: Path, name: str = 'finetune',
            changes: Mapping[str, Any] | None = None) -> Prepared:
    """Import the recordings of a folder into ``out``/episodes; those that are there stay.

    Steps follow from the number of timesteps; sizes, window and prompts from the checkpoint:
    unless ``changes`` give them. Raises BagError when no recording may become training data,
    CheckpointError when the checkpoint is of another robot.
    """
    config = load_checkpoint(start_from).config
    require_match(config, robot.timestep())
    folder, refused, episodes = out / 'episodes', {}, {}
    for bag in sorted(demos.glob('*.mcap')):
        target = folder / f'{bag.stem}{SUFFIX}'
        try:
            if not target.exists():
                import_bag(bag, folder, robot)
            info = read_info(target)
            if not info.success:
                raise BagError(f'{bag} is marked as a failure, expected a success')
        except BagError as error:
            refused[bag] = str(error)
            continue
        episodes[target] = info
    if not episodes:
        raise BagError(f'{demos} has no recording of a success that may become training data, '
                       f'expected at least one: {next(iter(refused.values()), "it holds none")}')
    given = {'robot': robot.name, 'data.folders': [str(folder)],
             'model': str(_model_file(out, config)), **_kept(config), **(changes or {})}
    batch = int(given.get('batch', load_settings(name).batch))
    length = sum(info.length for info in episodes.values())
    steps = min(MOST, max(LEAST, round(PASSES * length / batch)))
    return Prepared(load_settings(name, {'steps': steps, **given}), episodes, refused)


def _model_file(out: Path, config: CheckpointConfig) -> Path:
    """Write the checkpoint's sizes as a model's file of the run."""
    file = out / 'model.yaml'
    out.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(to_dict(config.architecture)), encoding='utf-8')
    return file


def _kept(config: CheckpointConfig) -> dict[str, Any]:
    """Return the settings that stay as the checkpoint was trained, as far as it says them."""
    trained = config.provenance.get('settings', {})
    flat = {**trained, **{f'data.{key}': value for key, value in trained.get('data', {}).items()}}
    return {'window_timesteps': config.window_timesteps, 'temperature': config.temperature,
            **{key: flat[key] for key in KEPT if key in flat}}
