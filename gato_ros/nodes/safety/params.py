"""What the safety node can be told; nothing changes while it runs."""

from __future__ import annotations

from gato_ros.nodes.common.params import ROBOT, Param
from gato_ros.nodes.common.scheduling import SCHEDULING

PARAMS = (
    ROBOT,
    SCHEDULING,
    Param('publish_hz', 200.0, 'How often a command is sent, in Hz.', 50.0, 500.0),
    Param('stop', 'ramp', 'What a stop does: ramp to zero residual torque, or hold the place '
          'where it began, damped.', choices=('ramp', 'hold')),
    Param('blend', 1.0, 'How much of each proposal counts; below 1 for a first contact.', 0.0,
          1.0),
    Param('stale_periods', 2.0, 'Control periods without a proposal after which the arm is '
          'stopped.', 1.0, 20.0),
    Param('heartbeat_max_age_s', 0.06, 'Seconds without a heartbeat of the policy after which the '
          'arm is stopped.', 0.04, 2.0),
    Param('observation_max_age_s', 0.3, 'Seconds that the newest joint state may be ahead of the '
          'observation that a proposal answers.', 0.05, 2.0),
    Param('deadline_s', 0.05, "Seconds between two of the gate's own ticks after which the arm is "
          'stopped.', 0.01, 2.0),
    Param('simulation', False, 'Enable by itself, clear faults by itself, and look at nothing but '
          'proposals. Only for the simulator, never on a real robot.'),
    Param('lock_step', False, 'Physics waits for each command, so silence is no danger: never '
          'stop for it. Only for the simulator.'),
)
