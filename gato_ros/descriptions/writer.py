"""A robot's YAML file from an arm: what is known, what was chosen, and what a person must fill in.

    text = robot_yaml(read_urdf(path), Choice('velocity'), source='arm.urdf')
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import yaml

from gato_ros.config import from_dict, to_dict
from gato_ros.descriptions.arm import Arm, DescriptionError, Moving, chain_to, default_tool
from gato_ros.robot import LinkSpec, RobotSpec
from gato_ros.untrusted import plain

T = TypeVar('T')
# Of a limit: what an action of 1.0 commands at first, until a person knows the arm better.
SCALE = {'effort': 0.1, 'velocity': 0.25, 'position': 0.25}
RISE_PER_S = {'effort': 10.0, 'velocity': 4.0, 'position': 1.0}  # slew, of that scale
MARGIN, MARGIN_SHARE = 0.1, 0.05  # rad, of the range; the smaller one
LINE = 10_000  # a joint stays on one line

HEAD = """\
# Made from {source} by `gato-ros robot`.
# SI units: rad, rad/s, Nm (m, m/s, N where a joint slides).
# Check every limit against the data sheet before an arm moves: docs/bring_up.md.
# scale and slew are a cautious beginning: {scale:.0%} of the limit.
# Topics and controllers are guesses; a driver has names of its own.
"""
CAMERAS = """\
# To fill in: what the policy sees, in multiples of 16 pixels ("Cameras" in docs/bring_up.md).
# cameras:
#   - {name: front, topic: camera/front/image_raw, height: 64, width: 64, max_age_s: 0.15}
"""
DAMPING = """\
# The robot's own side damps (damping is 0 here). Where it does not, and takes efforts, the gate
# may: damped_by: gate, with damping and inertia of each joint, as docs/safety.md says.
"""
WORKSPACE = """\
# To fill in: the box that the end of the chain stays in, m in the base frame.
# workspace: {low: [0.2, -0.5, 0.0], high: [0.75, 0.5, 0.8], margin: 0.02}
"""
TELEOPERATION = """\
# To fill in for a person's jogging (interface effort alone): Nm/rad, and the rest posture in rad.
# teleoperation:
#   stiffness: {%s}
#   home: {%s}
#   gripper: %s
"""


@dataclass(frozen=True)
class Choice:
    """What no description says.

    position, velocity, effort  limits of those joints alone whose file gives none; None: refuse
    tool       the link that the chain ends at; '': behind the last turning joint
    """

    interface: Literal['effort', 'velocity', 'position']
    name: str = ''
    rate_hz: float = 20.0
    tool: str = ''
    position: float | None = None
    velocity: float | None = None
    effort: float | None = None


def robot_yaml(arm: Arm, choice: Choice, source: str) -> str:
    """Return the text of a YAML file that load_robot reads.

    Raises DescriptionError for a joint without a limit that ``choice`` does not give either, and
    ConfigError where the limits are none that a robot can have.
    """
    tool = choice.tool or default_tool(arm)
    chain, no_chain = _chain(arm, tool, bool(choice.tool))
    on_way = {link.joint for link in chain}
    grippers = [joint.name for joint in arm.joints if joint.kind == 'prismatic'
                or (chain and joint.name not in on_way)]
    joints = [_joint(joint, joint.name in grippers, arm, choice) for joint in arm.joints]
    controllers = {joint['controller']: f'{joint["controller"]}/commands' for joint in joints}
    data: dict[str, Any] = {
        'name': choice.name or arm.name.lower(), 'rate_hz': choice.rate_hz,
        'interface': choice.interface, 'controllers': controllers, 'joints': joints,
        'cameras': [], 'kinematics': [to_dict(link) for link in chain]}
    from_dict(RobotSpec, data, arm.where).timestep()  # before anything is written
    return ''.join([
        HEAD.format(source=plain(source, 60), scale=SCALE[choice.interface]),
        _lines({key: data[key] for key in ('name', 'rate_hz', 'interface')}),
        'joint_states_topic: joint_states\njoint_states_max_age_s: 0.05\n',
        'controllers:\n', *(f'  {key}: {value}\n' for key, value in controllers.items()),
        DAMPING, 'joints:\n', *(f'  - {_flow(joint)}\n' for joint in joints),
        'cameras: []\n', CAMERAS, *_kinematics(chain, tool, no_chain),
        *_teleoperation(arm, choice, grippers)])


def _chain(arm: Arm, tool: str, asked: bool) -> tuple[tuple[LinkSpec, ...], str]:
    """Return the chain, and why there is none."""
    if not tool:
        return (), 'its turning joints are no one chain: name the end of one (--tool LINK)'
    try:
        return chain_to(arm, tool), ''
    except DescriptionError as error:
        if asked:
            raise
        return (), str(error).removeprefix(f'{arm.where}: ')


def _joint(joint: Moving, grips: bool, arm: Arm, choice: Choice) -> dict[str, Any]:
    """Return a joint's entry, with the limits that the file or the choice gives."""
    around = None if choice.position is None else (-choice.position, choice.position)
    position = _known(joint, 'position', joint.position, around, arm)
    velocity = _known(joint, 'velocity', joint.velocity, choice.velocity, arm)
    effort = _known(joint, 'effort', joint.effort, choice.effort, arm)
    limit = effort if choice.interface == 'effort' else velocity
    scale = SCALE[choice.interface] * limit
    made: dict[str, Any] = {
        'name': joint.name, 'kind': joint.kind,
        'controller': 'gripper_controller' if grips else 'arm_controller',
        'position': [round(value, 6) for value in position], 'velocity': round(velocity, 6),
        'effort': effort, 'scale': round(scale, 6),
        'slew': round(RISE_PER_S[choice.interface] * scale, 6), 'damping': 0.0}
    if joint.inertia:
        made['inertia'] = joint.inertia
    if not grips:
        made['margin'] = round(min(MARGIN, MARGIN_SHARE * (position[1] - position[0])), 6)
    return made


def _known(joint: Moving, what: str, found: T | None, given: T | None, arm: Arm) -> T:
    """Return a limit of the file, or else of the choice; DescriptionError without either."""
    if found is not None:
        return found
    if given is not None:
        return given
    endless = ' (it turns without end)' if what == 'position' else ''
    raise DescriptionError(f'{arm.where}: joint {joint.name!r} has no limit of {what}{endless}, '
                           f'expected one: in the file, or for all without by --{what}')


def _kinematics(chain: tuple[LinkSpec, ...], tool: str, why: str) -> list[str]:
    if not chain:
        return [f'# No kinematics, and so no workspace: {plain(why, 300)}.\n']
    return [f'# The chain to {tool}.\n', 'kinematics:\n',
            *(f'  - {_flow({k: v for k, v in to_dict(link).items() if v != ""})}\n'
              for link in chain), WORKSPACE]


def _teleoperation(arm: Arm, choice: Choice, grippers: list[str]) -> list[str]:
    if choice.interface != 'effort':
        return []
    turning = [joint.name for joint in arm.joints if joint.name not in grippers]
    return [TELEOPERATION % (', '.join(f'{name}: 100.0' for name in turning),
                             ', '.join(f'{name}: 0.0' for name in turning),
                             grippers[0] if grippers else "''")]


def _flow(mapping: dict[str, Any]) -> str:
    return yaml.safe_dump(mapping, default_flow_style=True, sort_keys=False, width=LINE).strip()


def _lines(mapping: dict[str, Any]) -> str:
    return yaml.safe_dump(mapping, sort_keys=False, width=LINE)
