"""The commands ``domains``: what there is, and how good chance and expert are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gato_ros.tools.console import Json, Out, Workers, progress, write_json

app = typer.Typer(help='Worlds to act in: list them, measure their scores.',
                  invoke_without_command=True, rich_markup_mode=None)


@app.callback()
def domains(context: typer.Context) -> None:
    """List the domains that are installed, with their tasks; one that does not load is named."""
    if context.invoked_subcommand is not None:
        return
    from gato_ros.config import ConfigError
    from gato_ros.domains.domain import DomainError
    from gato_ros.domains.registry import domain_names, load_domain
    for name, place in domain_names().items():
        try:
            domain = load_domain(name)
        except (DomainError, ConfigError) as error:
            typer.echo(f'{name:12} {error}')
            continue
        count = sum(not task.alias_of for task in domain.tasks.values())
        typer.echo(f'{name:12} {count:3} tasks  {domain.licence:12} '
                   f'{domain.version or place}')


@app.command()
def score(
        task: Annotated[list[str], typer.Argument(
            help='DOMAIN/TASK, or a domain: all of its suite.')],
        episodes: Annotated[int, typer.Option(min=50, help='Test seeds of each actor.')] = 50,
        out: Out = Path('out/scores'),
        file: Annotated[Path | None, typer.Option(
            help='That gets the lines; without it config/scores.yaml.', show_default=False)]
        = None,
        workers: Workers = 0,
        json_file: Json = None) -> None:
    """Measure a random actor and the expert: the two ends of the normalised score."""
    from gato_ros.config import data_path
    from gato_ros.domains.registry import find_tasks
    from gato_ros.evaluation.scoring import measure, publish
    found, refused = measure(find_tasks(task), episodes, out, workers, progress)
    for name, line in found.items():
        typer.echo(f'{name}: random {line.random.mean:.4g}, expert {line.expert.mean:.4g}')
    for name, why in refused.items():
        typer.echo(f'{name}: refused, {why}')
    publish(file or data_path('config', 'scores.yaml'), found)
    write_json({'scores': found, 'refused': refused}, json_file)
