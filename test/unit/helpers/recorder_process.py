"""Records episodes for ever, as fast as it can, until it is killed; says what it has finished."""

from __future__ import annotations

import sys
from pathlib import Path

from recordings import ROBOT, serialised

from gato_ros.episodes.recordings.session import Session


def main(folder: Path) -> None:
    session = Session(ROBOT, folder, {'source': 'teleoperation'}, min_free_mb=1)
    while True:
        session.start('stack the red block on the blue block', 'stack_wide')
        for topic, log_ns, data in serialised(steps=40):
            session.write(topic, log_ns, data)
        print(session.save('success').file.name, flush=True)


if __name__ == '__main__':
    main(Path(sys.argv[1]))
