"""The commands ``gato-ros prompts ...``: what may be said to a policy, in words or by showing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gato_ros.tools.console import Robot, say

app = typer.Typer(help='Prompts: sentences and demonstrations (FILE#first, FILE#last).',
                  no_args_is_help=True, rich_markup_mode=None)
Prompt = Annotated[str, typer.Argument(help='A sentence, FILE#first or FILE#last.')]
Steps = Annotated[int, typer.Option(min=1, help='Timesteps of a demonstration.')]


@app.command('list')
def list_prompts(folder: Annotated[Path | None, typer.Argument(
        help='Of demonstrations; without it only sentences.')] = None,
        robot: Robot = 'panda_sim') -> None:
    """List the tasks' sentences, and the demonstrations in a folder that may serve."""
    from gato_ros.domains.stacking.tasks import load_task, task_names
    from gato_ros.episodes.prompts import FILES, is_failure, read_prompt
    from gato_ros.episodes.recordings.mcap_file import BagError
    from gato_ros.robot import load_robot
    for sentence in sorted({load_task(name).sentence for name in task_names()}):
        say(sentence)
    for file in sorted(folder.rglob('*')) if folder else ():
        if file.suffix not in FILES:
            continue
        try:
            if is_failure(file):
                raise BagError(f'{file} is marked as a failure, expected a success')
            found = read_prompt(file, load_robot(robot), 'last', 1)
        except (BagError, ValueError) as error:
            say(f'no: {error}')
            continue
        say(f'{file}#first, {file}#last: {found.total} timesteps')


@app.command()
def show(prompt: Prompt, steps: Steps = 4, robot: Robot = 'panda_sim') -> None:
    """Show a prompt's tokens, timestep by timestep."""
    from gato_ros.episodes.prompts import load_prompt
    from gato_ros.robot import load_robot
    from gato_ros.tokens.sequence import TimestepTokenizer
    chosen = load_robot(robot)
    found = load_prompt(prompt, chosen, steps)
    blocks = ([TimestepTokenizer(chosen.timestep()).sentence(found)] if isinstance(found, str)
              else found)
    for number, block in enumerate(blocks):
        ids = ' '.join(str(token) for token in block.ids.tolist() if token >= 0)
        say(f'{number}: {len(block)} tokens, {len(block.patches)} of them patches: {ids}')


@app.command()
def check(prompt: Prompt, steps: Steps = 4, robot: Robot = 'panda_sim') -> None:
    """Say whether a prompt may be used, and how much of the window it takes while pinned."""
    from gato_ros.episodes.prompts import load_prompt
    from gato_ros.robot import load_robot
    from gato_ros.tokens.context import CAPACITY
    from gato_ros.tokens.sequence import TimestepTokenizer
    chosen = load_robot(robot)
    tokenizer = TimestepTokenizer(chosen.timestep())
    found = load_prompt(prompt, chosen, steps)
    blocks = [tokenizer.sentence(found)] if isinstance(found, str) else found
    taken, one = sum(map(len, blocks)), len(tokenizer.layout())
    say(f'yes: {taken} of {CAPACITY} tokens stay pinned, {(CAPACITY - taken) // one} '
               f'timesteps roll beside it (specification {tokenizer.spec.hash})')


@app.command()
def read(prompt: Prompt, checkpoint: Annotated[Path | None, typer.Option(
        help='Folder; none: assets/any_pair, which ships.')] = None,
        robot: Robot = 'panda_sim') -> None:
    """Say in a checkpoint's own words what it reads in a demonstration."""
    from gato_ros.config import ConfigError
    from gato_ros.episodes.prompts import is_demonstration, load_prompt
    from gato_ros.policy.checkpoint import ANY_PAIR, load_checkpoint
    from gato_ros.policy.policy import GatoPolicy
    from gato_ros.robot import load_robot
    if not is_demonstration(prompt):
        raise ConfigError(f'{prompt!r} is a sentence, expected a demonstration: FILE#last')
    loaded, chosen = load_checkpoint(checkpoint or ANY_PAIR), load_robot(robot)
    if not loaded.config.names_demonstrations:
        raise ConfigError(f'{loaded.folder} has not learnt to say what a demonstration shows '
                          '(names_demonstrations is false), expected one that was trained with '
                          'data.named_fraction, such as assets/any_pair')
    policy = GatoPolicy(loaded, chosen.timestep())
    policy.reset(load_prompt(prompt, chosen))
    say(policy.said)
