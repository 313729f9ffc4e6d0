"""The commands ``gato-ros robot ...``: a robot's YAML file from what others describe it by."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gato_ros.tools.console import say

if TYPE_CHECKING:
    from gato_ros.descriptions.arm import Arm

app = typer.Typer(help="A robot's YAML file: from a URDF or a MuJoCo model, and its rest posture.",
                  no_args_is_help=True, rich_markup_mode=None)


class Interface(str, Enum):
    """What the driver's controllers take."""

    effort, velocity, position = 'effort', 'velocity', 'position'


File = Annotated[Path, typer.Argument(help='The description; its meshes are not needed.')]
Takes = Annotated[Interface, typer.Option(help='What its controllers take.')]
OutFile = Annotated[Path | None, typer.Option(
    help='YAML file; none: NAME.yaml here. An existing one is kept.')]
Name = Annotated[str, typer.Option(help="The robot's; none: as in the description.")]
Rate = Annotated[float, typer.Option(help="Of a policy's control.")]
Tool = Annotated[str, typer.Option(help='Link at the end of the chain; none: behind the last '
                                        'joint that turns.')]
Without = Annotated[list[str], typer.Option(help='A joint that moves by itself, or is fixed; '
                                                 'may be repeated.')]
Limit = Annotated[float | None, typer.Option(
    min=0.0, help='Limit of joints whose description gives none: rad, rad/s, Nm (m, m/s, N).')]


@app.command('from-urdf')
def from_urdf(file: File, interface: Takes, out: OutFile = None, name: Name = '',
              rate_hz: Rate = 20.0, tool: Tool = '', without: Without = [],  # noqa: B006
              position: Limit = None, velocity: Limit = None, effort: Limit = None) -> None:
    """Write the YAML file of the robot that a URDF describes (of xacro: what xacro makes)."""
    from gato_ros.descriptions.urdf import read_urdf
    _write(read_urdf(file, without), file, out, interface, name=name, rate_hz=rate_hz, tool=tool,
           position=position, velocity=velocity, effort=effort)


@app.command('from-mjcf')
def from_mjcf(file: File, interface: Takes, out: OutFile = None, name: Name = '',
              rate_hz: Rate = 20.0, tool: Tool = '', without: Without = [],  # noqa: B006
              position: Limit = None, velocity: Limit = None, effort: Limit = None) -> None:
    """Write the YAML file of the robot that a MuJoCo model describes."""
    from gato_ros.descriptions.mjcf import read_mjcf
    _write(read_mjcf(file, without), file, out, interface, name=name, rate_hz=rate_hz, tool=tool,
           position=position, velocity=velocity, effort=effort)


def _write(arm: Arm, file: Path, out: Path | None, interface: Interface,
           **chosen: str | float | None) -> None:
    from gato_ros.descriptions.arm import named
    from gato_ros.descriptions.writer import Choice, robot_yaml
    name = named(str(chosen['name'] or arm.name.lower()).replace('/', '_'), 'the robot', arm.where)
    choice = Choice(interface.value, **chosen | {'name': name})  # type: ignore[arg-type]
    text = robot_yaml(arm, choice, file.name)
    target = out or Path(f'{name}.yaml')
    with target.open('x', encoding='utf-8') as stream:  # never over what a person has filled in
        stream.write(text)
    joints, chain = len(arm.joints), text.count('\n  - {xyz')
    say(f'{target}: {joints} joints, a chain of {chain} links, no cameras yet. Fill in what its '
        'comments name, and check each limit against the data sheet')


@app.command('posture')
def posture(robot: Annotated[str, typer.Argument(
        help='YAML file with simulation and kinematics, or a name in config/robots.')]) -> None:
    """Propose where a simulated arm rests, its damping and stiffness: lines for its YAML file."""
    import yaml

    from gato_ros.domains.stacking.bodies.posture import propose
    from gato_ros.robot import load_robot
    found = load_robot(robot)
    proposal = propose(found)
    grippers = [name for name in found.joint_names if name not in proposal.home]
    say('# damping of the joints: ' + ', '.join(
        f'{name} {value:g}' for name, value in proposal.damping.items()))
    text = yaml.safe_dump({'teleoperation': {
        'gripper': grippers[0] if grippers else '', 'stiffness': proposal.stiffness,
        'home': proposal.home}}, sort_keys=False, default_flow_style=None, width=10_000)
    for line in text.splitlines():
        say(line)
