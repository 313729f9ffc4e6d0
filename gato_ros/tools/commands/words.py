"""The command ``scenes``: what a policy learns to speak about."""

from __future__ import annotations

from typing import Annotated

import typer

from gato_ros.tools.console import Out, Workers, progress


def scenes(
        out: Out,
        count: Annotated[int, typer.Option(min=1, help='Pictures, each by every camera.')] = 4000,
        first_seed: Annotated[int, typer.Option(help='Lower ones are for tests.')] = 100_000,
        workers: Workers = 0) -> None:
    """Make pictures of the arm's scenes with captions, questions and answers; resumable."""
    from gato_ros.domains.language.scenes import make_scenes
    texts = make_scenes(out, count, first_seed, workers, progress)
    typer.echo(f'{count} pictures with {texts} texts in {out}')
