"""From a folder of recordings to a run that begins with a checkpoint.

What a person meant is learnt (episodes/hindsight.py), and beside it what the checkpoint would have
done, told something else (rehearsal.py).

    prepared = prepare(Path('demos'), Path('runs/mine'), load_robot('panda_sim'), SHIPPED)
    train(prepared.settings, Path('runs/mine'), start_from=SHIPPED)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gato_ros.config import to_dict
from gato_ros.domains.registry import DEFAULT, REAL, domain_of
from gato_ros.episodes.episode import SUFFIX, EpisodeInfo, read_info
from gato_ros.episodes.recordings.bag import import_bag
from gato_ros.episodes.recordings.mcap_file import BagError
from gato_ros.policy.checkpoint import CheckpointConfig, DomainConfig, load_checkpoint
from gato_ros.policy.policy import GatoPolicy
from gato_ros.robot import RobotSpec
from gato_ros.training.finetuning.rehearsal import rehearse
from gato_ros.training.settings import TrainSettings, load_settings

PASSES = 12  # over all timesteps
LEAST, MOST = 100, 3000  # optimiser steps
# How sequences are made must not change, or the weights meet what they have not learnt to read.
KEPT = ('data.timesteps', 'data.prompt_fraction', 'data.prompt_timesteps', 'data.prompt_at_end',
        'data.sentence_fraction', 'data.named_fraction', 'smoothing_bins', 'history_dropout')
SHOWN = 'data.prompt_fraction', 'data.named_fraction'


@dataclass(frozen=True)
class Prepared:
    """The settings of a run, the episodes that it learns from, and why others are not among them.

    refused    recording -> sentence
    rehearsed  sentences that the checkpoint knew and is to keep
    """

    settings: TrainSettings
    episodes: Mapping[Path, EpisodeInfo]
    refused: Mapping[Path, str]
    rehearsed: Sequence[str]


def prepare(demos: Path, out: Path, robot: RobotSpec, start_from: Path, name: str = 'finetune',
            changes: Mapping[str, Any] | None = None, as_sent: bool = False, keep: bool = True,
            told: Callable[[str], None] = print) -> Prepared:
    """Import the recordings of a folder into ``out``/episodes; those that are there stay.

    Steps follow from the number of timesteps; sizes, window and prompts from the checkpoint:
    unless ``changes`` give them.

    as_sent  learn the torques as they were sent, not in hindsight
    keep     rehearse what the checkpoint knew, as far as it says which sentences those are
    told     is called with lines of progress

    Raises BagError when no recording may become training data, CheckpointError when the
    checkpoint is of another robot.
    """
    checkpoint = load_checkpoint(start_from)
    config = checkpoint.config
    known = config.domain(robot.timestep())
    in_hindsight = (not as_sent and robot.teleoperation is not None and bool(robot.kinematics)
                    and robot.interface == 'effort')
    folder = out / 'episodes' / ('in_hindsight' if in_hindsight else 'as_sent')
    episodes, refused = _imported(demos, folder, robot, in_hindsight)
    if not episodes:
        raise BagError(f'{demos} has no recording of a success that may become training data, '
                       f'expected at least one: {next(iter(refused.values()), "it holds none")}')
    shown = {info.sentence for info in episodes.values()}
    given = {'robot': robot.name, 'data.folders': [str(folder)],
             'model': str(_model_file(out, config)), **_kept(config, known, len(shown))}
    old = sorted(set(known.sentences) - shown) if keep else []
    length = sum(info.length for info in episodes.values())
    if old:
        beside = out / 'episodes' / 'rehearsal'
        policy = GatoPolicy(checkpoint, robot.timestep())
        given['data.folders'].append(str(beside))
        # Each demonstration is answered so many times; half of the windows stay a person's.
        given['data.demonstration_weight'] = rehearse(policy, episodes, old, beside, told)
        length *= 2
    given |= changes or {}
    batch = int(given.get('batch', load_settings(name).batch))
    steps = min(MOST, max(LEAST, round(PASSES * length / batch)))
    return Prepared(load_settings(name, {'steps': steps, **given}), episodes, refused, old)


def _imported(demos: Path, folder: Path, robot: RobotSpec, in_hindsight: bool
              ) -> tuple[dict[Path, EpisodeInfo], dict[Path, str]]:
    """Return the episodes of a folder's recordings, and why the others are none."""
    episodes, refused = {}, {}
    for bag in sorted(demos.glob('*.mcap')):
        target = folder / f'{bag.stem}{SUFFIX}'
        try:
            if not target.exists():
                import_bag(bag, folder, robot, in_hindsight=in_hindsight)
            info = read_info(target)
            if not info.success:
                raise BagError(f'{bag} is marked as a failure, expected a success')
        except BagError as error:
            refused[bag] = str(error)
            continue
        episodes[target] = info
    return episodes, refused


def _model_file(out: Path, config: CheckpointConfig) -> Path:
    """Write the checkpoint's sizes as a model's file of the run."""
    file = out / 'model.yaml'
    out.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(to_dict(config.architecture)), encoding='utf-8')
    return file


def _kept(config: CheckpointConfig, known: DomainConfig, shown: int) -> dict[str, Any]:
    """Return the settings that stay as the checkpoint was trained, as far as it says them.

    shown  different sentences: where all demonstrations show one thing, none can teach to read it
    """
    trained = config.provenance.get('settings', {})
    flat = {**trained, **{f'data.{key}': value
                          for key, value in _source(config, known, trained).items()}}
    kept = {key: flat[key] for key in KEPT if key in flat}
    if shown == 1 and any(key in kept for key in SHOWN):
        told = 'data.sentence_fraction'
        kept |= {told: sum(kept.get(key, 0.0) for key in (told, *SHOWN)),
                 **dict.fromkeys(SHOWN, 0.0)}
    return {'window_timesteps': known.window_timesteps, 'temperature': known.temperature, **kept}


def _source(config: CheckpointConfig, known: DomainConfig, trained: Mapping[str, Any]
            ) -> Mapping[str, Any]:
    """Return the settings of the source that taught a domain, {} where nothing says them."""
    if trained.get('data'):
        return trained['data']
    name = next(name for name, domain in config.domains.items() if domain is known)
    return next((line for line in trained.get('mixture') or () if name == _called(line)), {})


def _called(line: Mapping[str, Any]) -> str:
    """Return what a mixture's line is called in the checkpoint, where it is a robot's."""
    robot = line.get('robot') or ''
    domain = line.get('domain') or domain_of(robot)
    body = f'/{Path(robot).stem}' if domain == DEFAULT and robot not in ('', 'panda_sim') else ''
    return line.get('name') or (Path(robot).stem if domain == REAL else domain + body)
