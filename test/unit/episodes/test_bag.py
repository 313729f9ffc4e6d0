"""From an MCAP file to an episode, without ROS: the same tokens, and what is left out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcap.writer import CompressionType
from recordings import (
    ROBOT,
    START_MS,
    STEPS,
    WRIST,
    Change,
    do_import,
    header,
    messages,
    original,
    write,
)
from typer.testing import CliRunner

from gato_ros.config import ConfigError
from gato_ros.episodes.episode import read_info, read_slice
from gato_ros.episodes.recordings.definitions import WORDS
from gato_ros.episodes.recordings.mcap_file import BagError
from gato_ros.robot import TORQUES
from gato_ros.tokens.sequence import TimestepTokenizer
from gato_ros.tools.cli import app


@pytest.mark.parametrize('compression', list(CompressionType))
def test_the_tokens_are_those_of_the_original_arrays(
        tmp_path: Path, compression: CompressionType) -> None:
    done = do_import(write(tmp_path / 'demo.mcap', compression=compression))
    assert (done.steps, done.incomplete, done.unanswered) == (STEPS, 0, 0)
    assert done.longest_s == pytest.approx(0.05)
    info, tokenizer = read_info(done.file), TimestepTokenizer(ROBOT.timestep())
    assert (info.source, info.success, info.task, info.spec_hash) == (
        'teleoperation', True, 'stack_wide', ROBOT.timestep().hash)
    assert info.sentence == 'stack the red block on the blue block'
    data = read_slice(done.file, 0, STEPS)
    assert np.array_equal(data['sent'][TORQUES], data['action'][TORQUES]) and not data['target']
    block = tokenizer.encode(data['image'], data['tensor'], data['sent'])
    for step in range(STEPS):
        observation, effort = original(step)
        expected = tokenizer.encode(observation.images, observation.proprioception,
                                    {TORQUES: effort})
        assert block.ids[step].tolist() == expected.ids.tolist()
        assert np.array_equal(block.patches[step], expected.patches)


def test_large_pictures_do_not_fill_the_memory(tmp_path: Path) -> None:
    """Two cameras of 640 x 480 for 5 s are 184 MB; an import keeps what the policy sees."""
    image = np.zeros((480, 640, 3), np.uint8)

    def enlarge(topic: str, ms: int, msg: dict[str, Any]) -> dict[str, Any]:
        if 'camera' in topic:
            msg.update(height=480, width=640, step=1920, data=image.tobytes())
        return msg

    bag = write(tmp_path / 'demo.mcap', messages(100), enlarge)
    code = """if True:
        import resource, sys
        from pathlib import Path
        from gato_ros.episodes.recordings.bag import import_bag
        from gato_ros.robot import load_robot
        def most(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        before, bag = most(), Path(sys.argv[1])
        done = import_bag(bag, bag.parent, load_robot('panda_sim'), task='stack_wide',
                          sentence='stack', success=True)
        print(done.steps, most() - before)"""
    run = subprocess.run([sys.executable, '-c', code, str(bag)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    steps, grown_mib = map(int, run.stdout.split())
    assert steps == 100 and grown_mib < 80


def marked(*marks: tuple[float, str], first: str = 'a remark of an operator') -> list[Any]:
    """Return the messages of a recording with marks: (ms after the start, who acts)."""
    told = [(START_MS, first)] + [
        (round(at), json.dumps({'actor': actor, 'stamp_ns': round(1e6 * at)}))
        for at, actor in ((START_MS + ms, actor) for ms, actor in marks)]
    return messages() + [('/recorder/mark', ms, WORDS, {'data': words}) for ms, words in told]


@pytest.mark.parametrize(('marks', 'kept'), [
    ([], [0, 1, 2, 3, 4, 5]),
    ([(0, 'policy')], [0, 1, 2, 3, 4, 5]),  # nobody took over: a recording of a policy
    ([(100, 'person'), (200, 'rest')], [2, 3]),  # pauses before and after
    ([(100, 'rest'), (200, 'person')], [0, 1, 4, 5]),  # it began while a person acted
    ([(0, 'policy'), (149.9, 'person'), (150.1, 'person'), (200, 'policy')], [3]),  # a correction
])
def test_where_a_person_acted_only_their_steps_are_learnt(
        tmp_path: Path, marks: list[tuple[float, str]], kept: list[int]) -> None:
    done = do_import(write(tmp_path / 'demo.mcap', marked(*marks)))
    assert (done.steps, done.others) == (len(kept), STEPS - len(kept))
    data = read_slice(done.file, 0, done.steps)
    assert data['sent'][TORQUES].tolist() == [original(step)[1].tolist() for step in kept]


def test_a_person_who_acted_in_no_step_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / 'demo.mcap', marked((60, 'person'), (70, 'rest'),
                                                first='{"actor": 3}'))
    with pytest.raises(BagError, match='a person acted in none of 6 steps'):
        do_import(file)


def test_steps_without_an_action_at_the_end_are_left_out(tmp_path: Path) -> None:
    def change(topic: str, ms: int, msg: dict[str, Any]) -> dict[str, Any] | None:
        return None if topic == 'sent_effort' and ms >= START_MS + 200 else msg
    done = do_import(write(tmp_path / 'demo.mcap', change=change))
    assert (done.steps, done.unanswered) == (4, STEPS - 4)


def test_actions_from_before_the_first_picture_are_left_out(tmp_path: Path) -> None:
    def change(topic: str, ms: int, msg: dict[str, Any]) -> dict[str, Any] | None:
        return None if topic == WRIST and ms == START_MS else msg
    done = do_import(write(tmp_path / 'demo.mcap', change=change))
    assert (done.steps, done.incomplete) == (STEPS - 1, 1)


def test_the_joint_state_before_the_pictures_serves_up_to_its_largest_age(tmp_path: Path) -> None:
    def older(by_ms: float) -> Change:
        def change(topic: str, ms: int, msg: dict[str, Any]) -> dict[str, Any]:
            return {**msg, 'header': header(ms - by_ms)} if topic == 'joint_states' else msg
        return change
    assert do_import(write(tmp_path / 'near.mcap', change=older(40))).steps == STEPS
    file = write(tmp_path / 'far.mcap', rows=messages(1), change=older(110))
    with pytest.raises(BagError, match=r'joint_states has nothing of 1.000 s or up to 0.1 s befor'
                                       r"e \(joint_states_max_age_s in the robot's YAML file\)"):
        do_import(file)


def test_a_camera_that_shuts_later_gives_its_first_picture_after_the_stamp(tmp_path: Path) -> None:
    def change(topic: str, ms: int, msg: dict[str, Any]) -> dict[str, Any]:
        return {**msg, 'header': header(ms + 12)} if topic == WRIST else msg
    done = do_import(write(tmp_path / 'demo.mcap', change=change))
    wrist = read_slice(done.file, 0, STEPS)['image']['wrist']
    assert all(np.array_equal(wrist[i], original(i)[0].images['wrist']) for i in range(STEPS))


def test_proposals_serve_where_nothing_was_sent(tmp_path: Path) -> None:
    rows = [(t.replace('sent', 'proposed'), ms, kind, msg) for t, ms, kind, msg in messages()]
    done = do_import(write(tmp_path / 'demo.mcap', rows))
    assert read_info(done.file).extra['actions'] == 'proposed_effort'


def test_a_folder_and_a_namespace(tmp_path: Path) -> None:
    folder = tmp_path / 'rosbag2'
    folder.mkdir()
    with pytest.raises(BagError, match=r'holds 0 \.mcap files, expected one'):
        do_import(folder)
    write(folder / 'take_0.mcap', [(f'/left{t}', ms, kind, m) for t, ms, kind, m in messages()])
    assert do_import(folder, namespace='left').file.name == 'take_0.safetensors'
    with pytest.raises(BagError, match='/left/sent_effort'):
        do_import(folder, out=tmp_path / 'other')


def test_an_episode_is_never_overwritten(tmp_path: Path) -> None:
    done = do_import(write(tmp_path / 'demo.mcap'))
    before = done.file.read_bytes()
    with pytest.raises(BagError, match=r'demo\.safetensors exists already'):
        do_import(tmp_path / 'demo.mcap', success=False)
    assert done.file.read_bytes() == before
    (tmp_path / 'file').write_text('')
    with pytest.raises(BagError, match=r'cannot be written: File exists'):
        do_import(tmp_path / 'demo.mcap', out=tmp_path / 'file')


def test_who_acted_must_be_known(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"source is 'ghost', expected expert, policy, tele"):
        do_import(write(tmp_path / 'demo.mcap'), source='ghost')


def run(*args: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, '-m', 'gato_ros.tools.cli', 'import-bag',
                           *map(str, args)], capture_output=True, text=True)


def test_the_command(tmp_path: Path) -> None:
    file, out = write(tmp_path / 'demo.mcap'), tmp_path / 'out'
    done = CliRunner().invoke(app, [
        'import-bag', str(file), '--out', str(out), '--failure', '--task', 'lift_red_wide',
        '--json', str(tmp_path / 'done.json')])
    assert done.exit_code == 0, done.output
    assert '6 steps, at most 0.050 s apart' in done.output
    assert json.loads((tmp_path / 'done.json').read_text())['steps'] == STEPS
    info = read_info(out / 'demo.safetensors')
    assert not info.success and info.sentence == 'lift the red block'
    for more, missing in (((), '--task'), (('--task', 'lift_red_wide'), '--success or --failure')):
        refused = run(file, '--out', tmp_path / 'other', *more)
        assert refused.returncode == 2 and f'expected {missing}' in refused.stderr


def test_the_command_refuses_in_one_sentence(tmp_path: Path) -> None:
    file = write(tmp_path / 'demo.mcap')
    file.write_bytes(file.read_bytes()[:1000])
    done = run(file, '--out', tmp_path / 'out', '--success')
    assert done.returncode == 2 and done.stdout == '' and not (tmp_path / 'out').exists()
    assert len(done.stderr.splitlines()) == 1 and f'{file} is cut off' in done.stderr


def test_no_ros_is_loaded() -> None:
    code = ('import sys, gato_ros.episodes.recordings.bag\n'
            'print(*{"rclpy", "sensor_msgs", "torch"} & set(sys.modules))')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.stdout.strip() == '', done.stderr
