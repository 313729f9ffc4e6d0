"""What a policy would have done there, had it been told something else.

A fine-tuning on few demonstrations of one task forgets the others, and takes the looks of a
demonstration, not its sentence, for the reason to do it. So the policy answers what a person saw,
told each sentence that it knew, and these answers are learnt beside the person's.

After Li and Hoiem 2016, "Learning without Forgetting"; no old data is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from gato_ros.episodes.episode import SUFFIX, EpisodeInfo, EpisodeWriter, read_slice, timestep
from gato_ros.policy.policy import GatoPolicy
from gato_ros.training.data.windows import REHEARSAL

MOST = 20_000  # timesteps to answer, unless the demonstrations are more


def rehearse(policy: GatoPolicy, demonstrations: Mapping[Path, EpisodeInfo],
             sentences: Sequence[str], folder: Path, told: Callable[[str], None]) -> int:
    """Write an episode for each demonstration and sentence; return how many for each.

    Those that are there stay. Where all would be too many, sentences take turns.

    told  is called with a line of progress
    """
    folder.mkdir(parents=True, exist_ok=True)
    steps = sum(info.length for info in demonstrations.values())
    each = max(1, min(len(sentences), MOST // steps))
    for number, (file, info) in enumerate(demonstrations.items()):
        for turn in range(each):
            which = (number * each + turn) % len(sentences)
            target = folder / f'{file.stem}-{which}{SUFFIX}'
            if not target.exists():
                _answer(policy, file, replace(info, sentence=sentences[which], task='',
                                              source='policy', success=False,
                                              extra={REHEARSAL: True}), target)
        told(f'rehearsed {number + 1} of {len(demonstrations)} demonstrations, '
             f'told {each} other sentences each')
    return each


def _answer(policy: GatoPolicy, demonstration: Path, info: EpisodeInfo, target: Path) -> None:
    """Write what the policy does at each timestep of a demonstration, told ``info.sentence``."""
    data, writer = read_slice(demonstration, 0, info.length), EpisodeWriter()
    policy.reset(info.sentence, literal=True)
    sent = None
    for t in range(info.length):
        observation, now = timestep(data, t)
        action, sent = policy.act(observation, sent), now
        writer.add(observation, action.values, sent, {})
    writer.save(target, info)
