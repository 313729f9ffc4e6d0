"""What the policy node can be told; ``fixed=False``: also later, while it is not active."""

from __future__ import annotations

from gato_ros.nodes.common.params import ROBOT, Param
from gato_ros.nodes.common.scheduling import SCHEDULING

# Of whoever runs a checkpoint.
ENGINE = (
    Param('checkpoint', '', "Folder with model.safetensors and config.json; '': the shipped one.",
          fixed=False),
    Param('device', 'cpu', 'Where torch computes: cpu or cuda.', fixed=False),
    Param('engine', 'auto', 'auto: the fastest path that works here; eager: the reference; native '
          'and cuda: that path or none; int8: native with weights of one byte each, so answers '
          'differ.', choices=('auto', 'eager', 'native', 'int8', 'cuda'),
          fixed=False),
    Param('threads', 1, 'Threads that compute a step, of the compiled engine and of torch: no '
          "more than the cores that the process may use. 0: torch's choice.", 0, 256,
          fixed=False),
    Param('temperature', -1.0, "Of the action tokens; negative: the checkpoint's.", -1.0, 10.0,
          fixed=False),
    Param('seed', 0, 'Of the sampling, at each reset.', 0, 2**31 - 1, fixed=False),
)
PARAMS = (
    ROBOT,
    SCHEDULING,
    *ENGINE,
    Param('prompt', '', 'What to do, until something comes on the topic prompt: a sentence, or a '
          'demonstration, FILE#first or FILE#last.', fixed=False),
    Param('pin_prompt', True, 'Whether the prompt stays in the window; false: it leaves, oldest '
          'first, as the window fills.'),
    Param('caption_s', 0.0, 'Seconds between captions of what is seen, on the topic caption; 0: '
          'none.', 0.0, 3600.0),
    Param('folder', 'demos', 'Where such a FILE is, if its name is relative.'),
    Param('autostart', False, 'Configure and activate at the start, whatever the inputs are. Only '
          'for the simulator.'),
    Param('lock_step', False, 'Answer every complete observation at once, as fast as they come.'),
    Param('settle_s', 0.01, 'Seconds to wait for messages of equal stamp before others are taken.',
          0.0, 1.0),
)
