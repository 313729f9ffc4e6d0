"""A folder of recordings and the one that is open: what a recorder does, without ROS.

    session = Session(robot, Path('demos'), {'source': 'teleoperation'})
    session.start('stack the red block on the blue block')
    session.write('joint_states', received_ns, serialised)
    session.save('success')
"""

from __future__ import annotations

import json
import re
import shutil
import time
from bisect import insort
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import gato_ros
from gato_ros.config import to_dict
from gato_ros.episodes.recordings.alignment import Alignment, Skew, seconds
from gato_ros.episodes.recordings.episode_file import EpisodeFile, RecordError
from gato_ros.episodes.recordings.recover import Recovered, recover_folder
from gato_ros.episodes.recordings.rhythm import Rhythm, judge
from gato_ros.episodes.recordings.topics import (
    ACTIONS,
    LATCHED,
    PROMPT,
    concerns,
    observed,
    recorded,
    sensors,
    stamp_of,
)
from gato_ros.robot import RobotSpec

MB = 1_000_000
MOST_HELD = 16  # messages of a latched topic


@dataclass(frozen=True)
class Saved:
    """A finished recording.

    blind    share of the time from the first to the last action without an observation
    refusal  why it is no training data, '' if it may be
    """

    file: Path
    outcome: str
    messages: int
    skew: Skew
    blind: float
    refusal: str


class Session:
    """Records episodes one after the other; not thread-safe.

    about        what every file says about itself, beside robot, versions, task and times
    min_free_mb  of the disk, below which nothing is begun and what is open is saved
    offers       topic -> how its publishers offer it, for rosbag2; whoever listens fills it in

    Raises RecordError when the folder cannot be used.
    """

    def __init__(self, robot: RobotSpec, folder: Path, about: Mapping[str, str],
                 min_free_mb: int = 1000, offers: Mapping[str, str] | None = None) -> None:
        self.robot, self.folder = robot, folder
        self.take: EpisodeFile | None = None
        self.lost: Counter[str] = Counter()
        self._about, self._min_free = dict(about), min_free_mb * MB
        self._topics, self._observed = recorded(robot), observed(robot)
        self._disorder_ns = max(1, round(robot.disorder_s * 1e9))
        self._offers = {} if offers is None else offers
        self._held: dict[str, list[bytes]] = {}  # topic -> what was said before, and holds
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RecordError(f'{folder} cannot be made: {error.strerror}') from error

    def recover(self) -> list[Recovered]:
        """Recover what a former recorder has left open in the folder."""
        return recover_folder(self.folder)

    @property
    def free_mb(self) -> int:
        """Room on the disk."""
        return shutil.disk_usage(self.folder).free // MB

    def start(self, sentence: str, task: str = '', **about: str) -> Path:
        """Open a recording; RecordError when one is open or the disk is too full."""
        if self.take is not None:
            raise RecordError(f'{self.take.file.name} is being recorded, expected to save or to '
                              'discard it first')
        if fault := self._disk_fault():
            raise RecordError(fault)
        began = datetime.now(timezone.utc)
        name = file_name(task or sentence)
        self.take = EpisodeFile(
            self.folder / f'{name}-{began:%Y%m%d-%H%M%S-%f}.mcap', self._topics,
            {**self._about, 'version': gato_ros.__version__, 'robot': self.robot.name,
             'spec_hash': self.robot.timestep().hash,
             'robot_spec': json.dumps(to_dict(self.robot)), 'task': task, 'sentence': sentence,
             'began': began.isoformat(), **about}, offers=self._offers)
        self.lost.clear()
        self._stamps: dict[str, list[int]] = {topic: [] for topic in self._observed}
        self._sequence: dict[str, int] = {}
        for topic, messages in self._held.items():
            for data in messages:
                self.take.write(topic, time.time_ns(), data)
        return self.take.file

    def write(self, topic: str, log_ns: int, data: bytes, publish_ns: int | None = None,
              sequence: int = 0) -> str:
        """Append a serialised message of one of ``recorded``'s topics, if a recording is open.

        sequence  the publisher's number of it, by which lost ones are counted; 0: unknown

        Returns why the recording must end: time began anew; or ''. Raises Refused for what is
        no such message.
        """
        if topic == PROMPT:
            self._held[topic] = [data]
        elif topic in LATCHED:  # of several publishers, each says its part
            others = [held for held in self._held.get(topic, []) if held != data]
            self._held[topic] = [*others, data][-MOST_HELD:]
        if self.take is None:
            return ''
        if topic in self._stamps:
            stamps, stamp = self._stamps[topic], stamp_of(data)
            if topic == self.robot.joint_states_topic and not concerns(data, self.robot):
                pass  # another robot's, or a gripper's that is no part of this one
            elif stamps and stamps[-1] - stamp >= self._disorder_ns:
                return (f'the clock of {topic} went back from {seconds(stamps[-1])} to '
                        f'{seconds(stamp)}')
            else:
                insort(stamps, stamp)
        former = self._sequence.get(topic, 0)
        if sequence > former + 1 and former:
            self.lost[topic] += sequence - former - 1
        self._sequence[topic] = sequence
        self.take.write(topic, log_ns, data, publish_ns)
        return ''

    def tick(self) -> str:
        """To be called about once a second; returns why the recording must end, or ''."""
        if self.take is None:
            return ''
        self.take.sync()
        return self._disk_fault()

    def save(self, outcome: str, note: str = '') -> Saved:
        """Finish the recording; ``outcome`` is success, failure or '' for nobody knows."""
        take = self._open()
        skew, rhythm = self._judged()
        refusal = rhythm.refusal or skew.refusal(self.robot)
        take.save({'outcome': outcome, 'note': note, 'refusal': refusal,
                   'lost': json.dumps(dict(self.lost)), 'skew': json.dumps(to_dict(skew)),
                   'blind': f'{rhythm.blind:.4f}',
                   'ended': datetime.now(timezone.utc).isoformat()})
        self.take = None
        return Saved(take.file, outcome, take.messages, skew, rhythm.blind, refusal)

    def discard(self) -> Path:
        """Throw the open recording away."""
        take = self._open()
        take.discard()
        self.take = None
        return take.file

    def _open(self) -> EpisodeFile:
        if self.take is None:
            raise RecordError('nothing is being recorded, expected a start before')
        return self.take

    def _disk_fault(self) -> str:
        free = shutil.disk_usage(self.folder).free
        if free >= self._min_free:
            return ''
        return (f'{self.folder} has {free // MB} MB of free disk, expected {self._min_free // MB} '
                'MB (parameter min_free_mb)')

    def _judged(self) -> tuple[Skew, Rhythm]:
        """Return how far apart the messages of the steps lie, and how the steps follow."""
        source = next((name for name in ACTIONS if self._stamps[name]), ACTIONS[0])
        sensed = {topic: self._stamps[topic] for topic in sensors(self.robot)}
        actions = sorted(set(self._stamps[source]))
        alignment = Alignment(self.robot,
                              {c.name: sensed[c.topic] for c in self.robot.cameras},
                              sensed[self.robot.joint_states_topic])
        skews, steps, missing = [], [], dict[int, str]()
        for stamp in actions:
            try:
                skews.append(alignment.at(stamp).skew_s)
                steps.append(stamp)
            except LookupError as error:
                missing[stamp] = str(error)
        return Skew.of(skews, self.robot), judge(self.robot, steps, actions, source, sensed,
                                                 missing)


def file_name(words: str) -> str:
    """Return how a recording is called by what it shows: at most 60 bytes, in any file system."""
    name = re.sub(r'[^\w-]+', '_', words).encode()[:60].decode(errors='ignore').strip('_')
    return name or 'episode'
