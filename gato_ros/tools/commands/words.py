"""The commands about words: ``scenes``, ``caption``, ``chat`` and ``evaluate-words``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from gato_ros.tools.console import Checkpoint, Json, Out, Workers, progress, say, warn, write_json


def scenes(
        out: Out,
        count: Annotated[int, typer.Option(min=1, help='Pictures, each by every camera.')] = 4000,
        first_seed: Annotated[int, typer.Option(help='Lower ones are for tests.')] = 100_000,
        workers: Workers = 0) -> None:
    """Make pictures of the arm's scenes with captions, questions and answers; resumable."""
    from gato_ros.domains.language.scenes import make_scenes
    texts = make_scenes(out, count, first_seed, workers, progress)
    typer.echo(f'{count} pictures with {texts} texts in {out}')


def caption(
        picture: Annotated[list[Path], typer.Argument(help='PNG or JPEG, of any size.')],
        checkpoint: Checkpoint = None) -> None:
    """Say in words what pictures show; one that cannot be read is named, and the others go on."""
    from gato_ros.pictures import ConvertError, read_picture
    from gato_ros.policy.checkpoint import SHIPPED, load_checkpoint
    from gato_ros.policy.words import PICTURE, Speaker
    speaker, failed = Speaker(load_checkpoint(checkpoint or SHIPPED), [PICTURE]), False
    for file in picture:
        try:
            shown = read_picture(file)
        except ConvertError as error:
            warn(error)
            failed = True
            continue
        say(f'{file}: {"".join(speaker.answer("", {PICTURE: shown}))}')
    if failed:
        raise typer.Exit(2)


def chat(
        checkpoint: Checkpoint = None,
        picture: Annotated[list[str], typer.Option(
            help='File to ask about; NAME=FILE for each where a domain sees several cameras.')]
        = [],  # noqa: B006
        camera: Annotated[list[str], typer.Option(
            help='Number, device or film to ask about, looked at anew for each question; or '
                 'NAME=DEVICE.')] = [],  # noqa: B006
        scene: Annotated[int | None, typer.Option(
            min=0, max=9999, help="Test seed of a scene of the arm's to ask about.",
            show_default=False)] = None,
        out: Annotated[Path, typer.Option(help='Folder for the picture of --scene.')]
        = Path('out/chat')) -> None:
    """Answer each line of the standard input, piece by piece; end with Ctrl-D or Ctrl-C."""
    from gato_ros.config import ConfigError
    from gato_ros.policy.checkpoint import SHIPPED, load_checkpoint
    from gato_ros.policy.words import Pictures, Speaker
    from gato_ros.robot import load_robot
    from gato_ros.tools import chat as talk
    if bool(picture) + bool(camera) + (scene is not None) > 1:
        raise ConfigError('several of --picture, --camera and --scene are given, expected one of '
                          'them')
    loaded = load_checkpoint(checkpoint or SHIPPED)
    look: Callable[[], Pictures] | None = None
    if picture:
        shown = talk.read_files(talk.named(picture))
        speaker = Speaker(loaded, shown)
    elif scene is not None:
        robot = load_robot('panda_sim')
        speaker = Speaker(loaded, [camera.name for camera in robot.cameras])
        shown, file = talk.read_scene(scene, robot, out)
        say(f'scene of test seed {scene}, by the cameras {" and ".join(shown)}: {file}')
    elif camera:
        devices = talk.Devices(talk.named(camera))
        speaker, look = Speaker(loaded, devices.cameras), devices.look
    else:
        speaker, shown = Speaker(loaded), {}
    try:
        talk.chat(speaker, talk.typed(), look or (lambda: shown),
                  lambda piece: typer.echo(piece, nl=False))
    except KeyboardInterrupt:
        typer.echo()


def evaluate_words(
        checkpoint: Checkpoint = None,
        scenes: Annotated[int, typer.Option(
            min=0, max=10_000, help='Seeds to ask about a moment of; 0: none.')] = 200,
        split: Annotated[str, typer.Option(help='test, or validation to choose by.')] = 'test',
        dialogue: Annotated[list[str], typer.Option(
            help="Pattern of files with exchanges, of which the held-out ones are asked; repeat "
                 "it. Without it the package's own.")] = [],  # noqa: B006
        documents: Annotated[list[str], typer.Option(
            help='Pattern of held-out text files; repeat it.')] = [],  # noqa: B006
        learnt: Annotated[list[str], typer.Option(
            help='Pattern of the text files that were trained on: what the 5-gram model counts.')]
        = [],  # noqa: B006
        json_file: Json = None) -> None:
    """Judge words: exact captions and answers about test scenes, bits per byte of text."""
    from gato_ros.config import data_path
    from gato_ros.evaluation.words.report import WordSettings, evaluate_words, show
    from gato_ros.policy.checkpoint import SHIPPED, load_checkpoint
    settings = WordSettings(scenes, split, tuple(dialogue) or (
        str(data_path('config', 'dialogue') / '*.yaml'),), tuple(documents), tuple(learnt))
    report = evaluate_words(load_checkpoint(checkpoint or SHIPPED), settings, progress)
    show(report)
    write_json(report, json_file)
