"""Which tasks need memory, what is told in them, and how good a policy without any can be.

While a cue is shown the arm's brakes are on: no command moves anything, so that what is seen
afterwards is distributed alike whatever the cue was. The first that is decided counts: a policy
cannot try one answer after the other.
"""

from __future__ import annotations

from dataclasses import dataclass

from gato_ros.domains.stacking.tasks import EXTENT, Task


@dataclass(frozen=True)
class MemoryTask:
    """One task.

    sentence   what is told; '': nothing, as the cue says it
    limit_s    time after which an episode counts as failed
    cue_s      time from the start on in which the cue is shown and the brakes are on
    chance     largest success rate of a policy that sees one timestep
    why        what that rests on
    """

    name: str
    sentence: str
    limit_s: float
    cue_s: float
    chance: float
    why: str

    @property
    def base(self) -> Task:
        """The task whose start and whose blocks it has."""
        return Task(self.name, 'stack', ('red', 'blue'), self.sentence, EXTENT['wide'])


MOST_TAPS = 3
MEMORY_TASKS = {task.name: task for task in (
    MemoryTask('recall_pair', '', 15.5, 0.5, 1 / 6,
               'a tile shows one of six pairs and is gone; the first stack decides'),
    MemoryTask('blackout', 'stack the red block on the blue block', 8.0, 0.0, 0.05,
               'the cameras are black for most of the time: who waits for light is out of time'),
    MemoryTask('hidden_goal', 'put the red block where the mark was', 15.5, 0.5, 1 / 2,
               'one of two blocks is put over the mark; the first stack decides'),
    MemoryTask('put_back', 'put the red block on the tile and then back to where it was', 20.0,
               0.0, 0.05, 'a place within 25 mm on a table of 22 x 40 cm; arm and blocks are put '
               'to where they would be from any place, and the first place decides'),
    MemoryTask('count_taps', 'tap the red block as often as the tile blinked', 15.0, 1.5,
               1 / MOST_TAPS, 'the tile blinked one to three times; the first pause decides'),
)}
