"""``gato-ros teleop --sim``: everything that a person needs to show the simulated arm something.

Simulator, safety node, recorder, teleop node with its page, and a policy that may be let to act:
processes of their own in one ROS domain, until Ctrl-C.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from gato_ros.domains.stacking.tasks import load_task
from gato_ros.tools.graph.children import TIMELY, Children

FIRST_SEED = 200_000  # of the scenes: none of those by which checkpoints are judged


def simulate(teleop: dict[str, object], task: str, checkpoint: Path | None, logs: Path,
             scheduling: str = 'ordinary') -> None:
    """Run until a signal; raises GraphError with the last words of a node that ends too early.

    teleop      parameters of the teleop node, ``folder`` among them: where recordings go
    checkpoint  of the policy; None: the shipped one
    scheduling  of the nodes that a busy machine holds up: ordinary or real_time
    """
    folder = json.dumps(str(Path(str(teleop['folder'])).resolve()))
    nodes: dict[str, dict[str, object]] = {
        'sim': {'task': task, 'seeds': f'[{FIRST_SEED}]', 'on_request': 'true'},
        'safety': {'simulation': 'true', 'publish_hz': 100.0},
        'recorder': {'folder': folder},
        'policy': {'autostart': 'true', 'folder': folder},
        'teleop': {**{key: json.dumps(value) for key, value in teleop.items()}, 'web': 'true',
                   'folder': folder, 'policy_on': 'false'}}
    if (chosen := load_task(task)).blocks:  # else each scene has a sentence of its own
        nodes['policy']['prompt'] = json.dumps(chosen.sentence)
    if checkpoint is not None:
        nodes['policy']['checkpoint'] = json.dumps(str(checkpoint.resolve()))
    for name in (*TIMELY, 'recorder'):
        nodes[name]['scheduling'] = scheduling
    with Children(nodes, logs, {'policy': {'proposed_effort': 'policy_effort'}}) as children:
        children.start(*nodes)
        print(children.said('teleop', 'cockpit: '), flush=True)
        print(f'recordings: {json.loads(folder)}; ROS_DOMAIN_ID={os.environ["ROS_DOMAIN_ID"]}; '
              f'logs: {logs}; Ctrl-C ends it', flush=True)
        while True:
            time.sleep(0.2)
            children.check()
