"""Prompts from words and from demonstrations."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
from recordings import ROBOT, SENTENCE, original, record
from typer.testing import CliRunner

from gato_ros.config import ConfigError
from gato_ros.episodes.prompts import lies_in, load_prompt, read_prompt, sentence_of
from gato_ros.episodes.recordings.bag import import_bag
from gato_ros.episodes.recordings.mcap_file import BagError
from gato_ros.model.architecture import load_architecture
from gato_ros.model.gato import Gato
from gato_ros.policy.checkpoint import (
    ANY_PAIR,
    SHIPPED,
    CheckpointConfig,
    DomainConfig,
    load_checkpoint,
    save_checkpoint,
)
from gato_ros.policy.policy import GatoPolicy
from gato_ros.robot import TORQUES
from gato_ros.tokens.sequence import TimestepTokenizer
from gato_ros.tools.cli import app


def test_first_and_last_are_the_demonstrations_own_tokens(tmp_path: Path) -> None:
    file = record(tmp_path)
    episode = import_bag(file, tmp_path / 'out', ROBOT).file
    tokenizer = TimestepTokenizer(ROBOT.timestep())
    for end, chosen in (('first', (0, 1, 2)), ('last', (7, 8, 9))):
        for source in (file, episode):
            blocks = read_prompt(source, ROBOT, end, 3).blocks
            for block, step in zip(blocks, chosen, strict=True):
                observation, effort = original(step)
                same = tokenizer.encode(observation.images, observation.proprioception,
                                        {TORQUES: effort})
                assert block.ids.tolist() == same.ids.tolist()
                assert np.array_equal(block.patches, same.patches)


def test_a_demonstration_is_pinned_and_stays(tmp_path: Path) -> None:
    architecture = load_architecture('tiny')
    config = CheckpointConfig(architecture, {ROBOT.name: DomainConfig(ROBOT.timestep())})
    save_checkpoint(tmp_path, config, Gato(architecture).state_dict())
    policy = GatoPolicy(load_checkpoint(tmp_path), ROBOT.timestep())
    blocks = load_prompt(f'{record(tmp_path / "demos")}#last', ROBOT, 3)
    policy.reset(blocks)
    for step in range(30):  # more than the window holds
        policy.act(ROBOT.example_observation(step))
    taken = sum(map(len, blocks))
    assert policy.window.pinned == taken and policy.window.visible[:taken].all()


def test_what_cannot_be_a_prompt(tmp_path: Path) -> None:
    file = record(tmp_path)
    assert load_prompt(SENTENCE, ROBOT) == SENTENCE
    for words, steps, says in ((f'{file}#middle', 3, 'expected first or last'),
                               (f'{file}#last', 11, 'has 10 timesteps, expected at least 11'),
                               (f'{file}#last', 18, 'expected 1 to 17'),
                               (f'{tmp_path}/none.mcap', 3, 'cannot be read')):
        with pytest.raises(BagError, match=says):
            load_prompt(words, ROBOT, steps)
    other = dataclasses.replace(ROBOT, name='other', cameras=ROBOT.cameras[:1])
    with pytest.raises(BagError, match='was recorded by robot'):
        load_prompt(f'{file}#last', other)


def test_what_a_demonstration_shows_is_its_sentence(tmp_path: Path) -> None:
    file = record(tmp_path)
    episode = import_bag(file, tmp_path / 'out', ROBOT).file
    for words in (SENTENCE, f'{file.name}#last', f'out/{episode.name}#first'):
        assert sentence_of(words, tmp_path) == SENTENCE
    with pytest.raises(BagError, match='cannot be read'):
        sentence_of('none.mcap', tmp_path)


def test_the_commands(tmp_path: Path) -> None:
    file = record(tmp_path)
    failed = record(tmp_path, 'failure')
    (tmp_path / 'torn.mcap').write_bytes(file.read_bytes()[:2000])
    listed = CliRunner().invoke(app, ['prompts', 'list', str(tmp_path)]).output
    assert SENTENCE in listed and f'{file}#first, {file}#last: 10 timesteps' in listed
    assert 'no: ' in listed and 'torn.mcap is cut off' in listed
    assert f'no: {failed} is marked as a failure, expected a success' in listed
    assert f'{failed}#last' not in listed
    checked = CliRunner().invoke(app, ['prompts', 'check', f'{file}#last'])
    assert checked.exit_code == 0 and 'yes: 224 of 1024 tokens stay pinned' in checked.output
    shown = CliRunner().invoke(app, ['prompts', 'show', f'{file}#first', '--steps', '2']).output
    assert shown.count('56 tokens, 32 of them patches') == 2
    read = CliRunner().invoke(app, ['prompts', 'read', f'{file}#last'])
    policy = GatoPolicy(load_checkpoint(ANY_PAIR), ROBOT.timestep())
    policy.reset(load_prompt(f'{file}#last', ROBOT))
    assert read.exit_code == 0 and read.output == f'{policy.said}\n' != '\n'


@pytest.mark.parametrize(('prompt', 'checkpoint', 'sentence'), [
    (SENTENCE, ANY_PAIR, 'is a sentence, expected a demonstration'),
    ('one.mcap#last', SHIPPED, 'has not learnt to say what a demonstration shows')])
def test_what_cannot_be_read_is_named(prompt: str, checkpoint: Path, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        CliRunner().invoke(app, ['prompts', 'read', prompt, '--checkpoint', str(checkpoint)],
                           catch_exceptions=False)


@pytest.mark.parametrize('suffix', ['.mcap', '.safetensors'])
@pytest.mark.parametrize('kind', ['pipe', 'folder', 'device', 'link', 'circle', 'long', 'null'])
def test_what_is_no_file_of_the_folder_is_refused_at_once(tmp_path: Path, kind: str,
                                                         suffix: str) -> None:
    demos = tmp_path / 'demos'
    demos.mkdir()
    name = {'long': 'x' * 300, 'null': 'x\0'}.get(kind, kind) + suffix
    if kind == 'pipe':
        os.mkfifo(demos / name)
    elif kind == 'folder':
        (demos / name).mkdir()
    elif kind in ('device', 'link', 'circle'):
        outside = record(tmp_path / 'elsewhere')
        (demos / name).symlink_to(
            {'device': '/dev/zero', 'link': outside, 'circle': demos / name}[kind])
    for words in (f'{name}#last', str(demos / name)):
        if kind == 'link' and words == str(demos / name):
            continue  # who names the whole path may have a link there
        with pytest.raises(BagError, match=r'no regular file|cannot be read'):
            load_prompt(words, ROBOT, folder=demos)
        with pytest.raises(BagError, match=r'no regular file|cannot be read'):
            sentence_of(words, demos)
    assert not lies_in(demos / name, demos)
    inside = record(demos)
    assert lies_in(inside, demos) and sentence_of(inside.name, demos) == SENTENCE
