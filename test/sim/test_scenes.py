"""Words about scenes: right by hand, right by the pixels, and nothing that is unclear."""

from __future__ import annotations

import json
import string
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gato_ros.config import ConfigError
from gato_ros.domains.language.captions import caption
from gato_ros.domains.language.moments import MOMENTS, Moment, Moments
from gato_ros.domains.language.questions import KINDS, ask, doing
from gato_ros.domains.language.scene import FAR, Scene, look
from gato_ros.domains.language.scenes import make_scenes
from gato_ros.evaluation.words.scenes import GROUPS, ask_scenes, rates
from gato_ros.model.architecture import load_architecture
from gato_ros.model.gato import Gato
from gato_ros.policy.checkpoint import (
    CheckpointConfig,
    DomainConfig,
    load_checkpoint,
    save_checkpoint,
)
from gato_ros.policy.words import Speaker
from gato_ros.spec import ImageField, TimestepSpec
from gato_ros.tools.chat import read_scene
from gato_ros.training.data.mixture import Mixture
from gato_ros.training.settings import SourceSettings

pytestmark = pytest.mark.sim
CHANNEL = {'red': 0, 'green': 1, 'blue': 2}


@pytest.fixture
def env(make_env):
    env = make_env(render=False)
    yield env
    env.close()


@pytest.fixture
def make_speaker(tmp_path: Path, robot):
    """A policy that sees both cameras, speaks, and has learnt nothing."""
    def make() -> Speaker:
        arch = load_architecture('tiny')
        seen = TimestepSpec(tuple(ImageField(c.name, c.height, c.width) for c in robot.cameras))
        save_checkpoint(tmp_path / 'seer', CheckpointConfig(arch, {'seer': DomainConfig(seen)}),
                        Gato(arch).state_dict())
        return Speaker(load_checkpoint(tmp_path / 'seer'), ['front', 'wrist'])
    return make


@pytest.fixture(scope='module')
def moments(robot) -> Iterator[list[Moment]]:
    drawn = Moments(robot)
    yield [moment for seed in range(14) for moment in drawn.of(seed)]
    drawn.close()


def placed(env, **places) -> Scene:
    """Return the scene with blocks at these places in m; those without one are not there."""
    env.reset(0)
    for name in CHANNEL:
        env.world.place(name, np.array(places.get(name, FAR + (0, CHANNEL[name] / 5, 0))))
    env.world.forward()
    return look(env, frozenset(CHANNEL) - set(places))


def answers(scene: Scene, kind: str) -> dict[str, str]:
    """Return the answers of all cases of a kind, by what stands in the question's gaps."""
    return {' '.join(gaps.values()): answer for gaps, answer in KINDS[kind].cases(scene)}


def test_a_scene_that_was_worked_out_by_hand(env) -> None:
    """The front camera looks back at the arm, so +y, the robot's left, is on its right."""
    scene = placed(env, red=(0.5, 0.1, 0.02), blue=(0.5, 0.1, 0.06), green=(0.56, -0.1, 0.02))
    assert caption(scene) == ('from left to right a green block and a blue block on a red block; '
                              'the hand is open')
    assert answers(scene, 'on') == {'red': 'the blue block', 'blue': 'nothing', 'green': 'nothing'}
    assert answers(scene, 'under') == {
        'red': 'the table', 'blue': 'the red block', 'green': 'the table'}
    assert answers(scene, 'beside_left') == {'green': 'nothing'}, 'red and blue are in line'
    assert answers(scene, 'beside_right') == {'green': 'the red block and the blue block'}
    assert answers(scene, 'left') == {'green red': 'yes', 'green blue': 'yes',
                                      'red green': 'no', 'blue green': 'no'}
    assert answers(scene, 'leftmost') == answers(scene, 'robots_right') == {'': 'the green block'}
    assert answers(scene, 'nearest_camera') == {'': 'the green block'}
    assert answers(scene, 'nearest') == {'red': 'the blue block', 'blue': 'the red block'}, (
        'red and blue are about as far from the green one')
    assert answers(scene, 'in_front')['green red'] == 'yes'
    assert [answers(scene, kind)[''] for kind in ('count', 'on_table', 'height', 'top', 'held')] \
        == ['three', 'two', 'two', 'blue', 'nothing']
    assert answers(scene, 'there') == {'red': 'yes', 'green': 'yes', 'blue': 'yes', 'yellow': 'no',
                                       'white': 'no', 'orange': 'no', 'purple': 'no'}


def test_blocks_that_are_not_there(env) -> None:
    assert caption(placed(env)) == 'an empty table; the hand is open'
    scene = placed(env, green=(0.5, 0.0, 0.02))
    assert caption(scene) == 'a green block; the hand is open'
    assert answers(scene, 'count') == {'': 'one'} and answers(scene, 'colours') == {'': 'green'}
    assert answers(scene, 'there')['red'] == 'no' and answers(scene, 'there')['green'] == 'yes'
    assert doing(scene) == 'reaching for a block'


def test_what_is_unclear_is_not_asked(env) -> None:
    level = placed(env, red=(0.45, 0.0, 0.02), blue=(0.55, 0.005, 0.02))
    assert caption(level) == '' and answers(level, 'left') == answers(level, 'leftmost') == {}
    assert answers(level, 'in_front') == {'blue red': 'yes', 'red blue': 'no'}
    leaning = placed(env, red=(0.5, 0.0, 0.02), blue=(0.5, 0.025, 0.05))
    assert caption(leaning) == '' and answers(leaning, 'on') == {}
    assert answers(leaning, 'there')['blue'] == 'yes'
    finger = env.world.qpos[env.world.finger]
    env.world.data.qpos[finger] = 0.022
    env.world.forward()
    half = look(env, frozenset({'green'}))
    assert half.grip is None and answers(half, 'hand_open') == answers(half, 'held') == {}


def test_the_arms_doings_follow_an_episode(make_env, solve) -> None:
    from gato_ros.domains.stacking.expert import Expert
    env = make_env('stack_red_on_blue_wide')
    env.reset(1)
    expert, said, last = Expert(env), [], ''
    while not env.success or env.time_s < 5:
        env.step(expert.act())
        now = doing(look(env))
        if now and now != last:
            said.append(now)
        last = now or last
    env.close()
    assert said == ['reaching for a block', 'grasping the red block', 'lifting the red block',
                    'carrying the red block', 'placing the red block on the blue block',
                    'letting go of the red block', 'nothing, it is done']


def test_the_pixels_say_the_same(moments: list[Moment]) -> None:
    """Colours are counted and averaged in the pictures; no state is used."""
    checked = 0
    for moment in moments:
        front, wrist = (moment.pictures[name].astype(int) for name in ('front', 'wrist'))
        assert front.shape == wrist.shape == (64, 64, 3)
        columns = {}
        for name, channel in CHANNEL.items():
            def own(image, channel=channel):
                return image[..., channel] > 60 + np.delete(image, channel, 2).max(2)
            if own(front).sum() >= 12:
                columns[name] = np.nonzero(own(front))[1].mean()
            if name not in moment.scene.blocks:
                assert own(front).sum() + own(wrist).sum() == 0, 'what is absent is not seen'
        for pair, answer in answers(moment.scene, 'left').items():
            a, b = pair.split()
            if a in columns and b in columns:
                assert (columns[a] < columns[b]) == (answer == 'yes')
                checked += 1
    assert checked > 40


def test_moments_are_of_many_kinds_and_follow_the_seed(robot, moments: list[Moment]) -> None:
    assert len(moments) == 14 * MOMENTS
    again = Moments(robot)
    for one, other in zip(moments[20:24], again.of(5), strict=True):
        assert all(np.array_equal(one.pictures[name], other.pictures[name])
                   for name in ('front', 'wrist'))
        assert caption(one.scene) == caption(other.scene)
    again.close()
    captions = [caption(moment.scene) for moment in moments]
    assert sum(map(bool, captions)) > 0.5 * len(moments) and len(set(captions)) > 15
    assert len({doing(moment.scene) for moment in moments}) > 4


def test_training_never_hears_the_held_out_wordings(moments: list[Moment]) -> None:
    def told(held_out: bool) -> set[str]:
        rng, said = np.random.default_rng(0), set()
        for moment in moments:
            asked = ask(moment.scene, rng, len(KINDS), held_out)
            assert len({one.kind for one in asked}) == len(asked)
            said |= {one.question.lower().rstrip('?') for one in asked}
        return said
    training, held_out = told(False), told(True)
    assert len(training) > 100 and len(held_out) > 50 and not training & held_out
    for kind in KINDS.values():
        gaps = [{gap for _, gap, *_ in string.Formatter().parse(text) if gap}
                for text in (*kind.wordings, *kind.held_out)]
        assert all(gap == gaps[0] for gap in gaps) and kind.held_out


def test_a_folder_of_scenes_is_resumed_and_learnt_from(tmp_path: Path) -> None:
    folder = tmp_path / 'scenes'
    texts = make_scenes(folder, 2 * MOMENTS, 100_000, 1)
    lines = [json.loads(line) for line in (folder / 'captions.jsonl').read_text().splitlines()]
    assert len(lines) == texts and len({line['picture']['front'] for line in lines}) == 8
    whole, kept = (folder / 'captions.jsonl').read_bytes(), folder / '00100000-0-front.png'
    (folder / '00100001.jsonl').unlink()
    (folder / 'captions.jsonl').unlink()
    before = kept.stat().st_mtime_ns
    make_scenes(folder, 2 * MOMENTS, 100_000, 1)
    assert (folder / 'captions.jsonl').read_bytes() == whole
    assert kept.stat().st_mtime_ns == before, 'a finished seed is not made again'
    both, one = (Mixture([SourceSettings(pictures=(str(folder),), **more)], 0).sources[0]
                 for more in ({}, {'camera': 'front'}))
    assert [field.name for field in both.spec.images] == ['front', 'wrist']
    assert [field.name for field in one.spec.images] == ['picture']
    group, = both.draw(np.random.default_rng(0), 2)
    assert group.patches.shape[1] == 32 and both.timesteps == texts
    with pytest.raises(ConfigError, match='first seed is 7, expected at least 100000'):
        make_scenes(folder, 4, 7)


def test_a_test_scene_is_shown_to_who_asks(
        robot, tmp_path: Path, moments: list[Moment]) -> None:
    pictures, file = read_scene(3, robot, tmp_path / 'new')
    assert list(pictures) == ['front', 'wrist'] and file.is_file()
    assert np.array_equal(pictures['front'], moments[3 * MOMENTS].pictures['front'])


def test_answers_about_test_scenes_are_judged(make_speaker) -> None:
    found = list(ask_scenes(make_speaker(), range(2)))
    assert {one.group for one in found} <= set(GROUPS) and len(found) > 10
    assert [one.right for one in found if not one.question] == [
        one.right for one in found if one.kind == 'caption']
    for one in found:
        assert one.said and one.blind
    told = [replace(one, said=one.right, blind='') for one in found]
    assert all((right.value, blind.value) == (1, 0) for right, blind in rates(told).values())
