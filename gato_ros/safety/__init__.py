"""What stands between a proposal and the robot; numpy only, no clock of its own, never torch."""

from gato_ros.safety.gate import Command, Joints, SafetyGate

__all__ = ['Command', 'Joints', 'SafetyGate']
