"""Quality of service, by purpose. A publisher must offer at least what its subscribers request."""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy


def _profile(depth: int, reliability: ReliabilityPolicy,
             durability: DurabilityPolicy = DurabilityPolicy.VOLATILE) -> QoSProfile:
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=reliability,
                      durability=durability)


# Subscribing to sensors: only the newest counts, and best effort reads from every kind of driver.
NEWEST = _profile(1, ReliabilityPolicy.BEST_EFFORT)
# Joint states come several at a time, and the one with a picture's stamp must not be overwritten.
JOINTS = _profile(10, ReliabilityPolicy.BEST_EFFORT)
# Publishing sensors, as drivers do: reliable, so that recorders lose nothing.
SENSORS = _profile(10, ReliabilityPolicy.RELIABLE)
# Proposals and commands: the newest one, but that one for certain.
COMMAND = _profile(1, ReliabilityPolicy.RELIABLE)
# Answers in order, none lost: what was sent, timing, diagnostics.
EVENTS = _profile(10, ReliabilityPolicy.RELIABLE)
# Watching everything, with room for a moment without the processor.
RECORD = _profile(1000, ReliabilityPolicy.RELIABLE)
# The episodes and how they ended: a late joiner must get them too.
EPISODES = _profile(10, ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL)
# What is said once: late joiners get the last word.
LATCHED = _profile(1, ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL)
# /clock: nodes ask for best effort, recorders for more; this serves both.
CLOCK = _profile(1, ReliabilityPolicy.RELIABLE)
# The prompt: volatile, so that a plain `ros2 topic pub` is heard as well as a latched publisher.
PROMPT = _profile(1, ReliabilityPolicy.RELIABLE)


def pictures(reliable: bool) -> QoSProfile:
    """Return how to see: two pictures, so that one that comes behind its time is seen to do so."""
    return _profile(2, ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT)


def record(reliable: bool) -> QoSProfile:
    """Return how to watch everything: from drivers that offer best effort, as they offer it."""
    return _profile(1000, ReliabilityPolicy.RELIABLE if reliable
                    else ReliabilityPolicy.BEST_EFFORT)
