"""Datasets that say something else than they hold: matched by name and time, or refused."""

from __future__ import annotations

import json
import multiprocessing
import resource
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from recordings import ROBOT, SENTENCE, record
from typer.testing import CliRunner

from gato_ros.episodes.recordings.bag import read_demonstration
from gato_ros.episodes.recordings.episode_file import RecordError
from gato_ros.episodes.recordings.mcap_file import BagError, read_about
from gato_ros.episodes.recordings.topics import features
from gato_ros.robot import POSITIONS
from gato_ros.tools.cli import app

pa = pytest.importorskip('pyarrow', reason='pyarrow is not installed (extra exchange)')
pq = pytest.importorskip('pyarrow.parquet')
h5py = pytest.importorskip('h5py', reason='h5py is not installed (extra exchange)')
pytest.importorskip('av', reason='PyAV is not installed (extra exchange)')
lerobot = pytest.importorskip('gato_ros.episodes.exchange.lerobot')
order = pytest.importorskip('gato_ros.episodes.exchange.names').order
robomimic = pytest.importorskip('gato_ros.episodes.exchange.robomimic')

EPISODES, DATA = 'meta/episodes/chunk-000/file-000.parquet', 'data/chunk-000/file-000.parquet'
OURS, FRONT = ROBOT.joint_names, 'observation.images.front'


@pytest.fixture(scope='module')
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('exported')
    files = [record(folder / 'demos', steps=steps) for steps in (10, 7)]
    lerobot.export_lerobot(files, folder / 'set', ROBOT)
    return folder


@pytest.fixture
def dataset(exported: Path, tmp_path: Path) -> Path:
    return shutil.copytree(exported / 'set', tmp_path / 'set')


def change_info(dataset: Path, change: Callable[[dict[str, Any]], None]) -> None:
    place = dataset / 'meta/info.json'
    info = json.loads(place.read_text())
    change(info)
    place.write_text(json.dumps(info))


def change_column(place: Path, name: str, values: Any) -> None:
    table = pq.read_table(place)
    if name in table.column_names:
        table = table.drop_columns([name])
    pq.write_table(table.append_column(name, pa.array(values)), place)


def import_all(dataset: Path, told: list[str] | None = None) -> list[Path]:
    tell = (lambda words: None) if told is None else told.append
    return [made.file for made in lerobot.import_lerobot(
        dataset, dataset.parent / 'back', ROBOT, 'success', tell)]


def refusal(dataset: Path) -> str:
    with pytest.raises(BagError) as caught:
        import_all(dataset)
    assert not list(dataset.parent.glob('back/*'))
    return str(caught.value)


def test_names_are_matched_by_what_they_mean() -> None:
    for theirs in (list(OURS), [f'{name}.pos' for name in OURS], {'motors': list(OURS)},
                   [name.removeprefix('panda_') for name in OURS],
                   [name.upper() for name in OURS], {name: i for i, name in enumerate(OURS)}):
        assert order(OURS, theirs, 'position') == (list(range(8)), '')
    turned = [f'{name}_vel' for name in OURS[::-1]]
    assert order(OURS, turned, 'velocity') == (list(range(8))[::-1], '')
    for theirs in (None, [], [f'motor_{i}' for i in range(8)], [f'{i}' for i in range(1, 9)]):
        where, aloud = order(OURS, theirs, 'position')
        assert where == list(range(8)) and 'values are taken by position' in aloud


@pytest.mark.parametrize(('theirs', 'says'), [
    (['x', 'y', 'z', 'roll', 'pitch', 'yaw', 'gripper', 'w'], "names ['x', 'y'"),
    (['shoulder', *OURS[1:]], "names ['shoulder'"),
    ([*OURS[1:], OURS[1]], 'expected one for each of panda_joint1'),
    (list(OURS[:7]), 'expected one for each of'),
    ([f'joint_{i}' for i in (1, 0, 2, 3, 4, 5, 6, 7)], "names ['joint_1'"),
    ([f'{name}.vel' for name in OURS], 'holds velocity by its names'),
    ([1, 2], 'expected a list of words'), ('abc', 'expected a list of words')])
def test_other_names_are_refused(theirs: Any, says: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (its sentence is looked at)
        order(OURS, theirs, 'position')
    assert says in str(caught.value)


def test_names_that_are_not_the_robots_refuse_a_dataset(dataset: Path) -> None:
    def name(*names: str) -> Callable[[dict[str, Any]], None]:
        return lambda info: info['features']['action'].update(names=list(names))
    change_info(dataset, name('x', 'y', 'z', 'roll', 'pitch', 'yaw', 'gripper', 'w'))
    assert "feature 'action' has the names ['x', 'y', 'z'" in refusal(dataset)
    change_info(dataset, name(*(f'motor_{i}' for i in range(8))))
    told: list[str] = []
    file, _ = import_all(dataset, told)
    assert len(told) == 1 and 'are taken by position: panda_joint1' in told[0]
    assert told[0] in read_about(file)['note']


def as_video(dataset: Path, times: list[float], starts: tuple[float, float] = (0.0, 0.5)) -> None:
    """Give the front camera a video with a frame at each of these 20ths of a second."""
    import av
    change_info(dataset, lambda info: (
        info['features'][FRONT].update(dtype='video'),
        info.update(video_path='videos/{video_key}/chunk-{chunk_index:03d}/{file_index}.mkv')))
    place = dataset / 'videos' / FRONT / 'chunk-000/0.mkv'
    place.parent.mkdir(parents=True)
    with av.open(str(place), 'w') as video:
        track = video.add_stream('mjpeg', rate=20, options={'qmin': '1', 'qmax': '1'})
        track.width = track.height = 64
        track.codec_context.time_base = Fraction(1, 1000)
        track.pix_fmt = 'yuvj444p'
        for time in times:
            frame = av.VideoFrame.from_ndarray(
                np.full((64, 64, 3), 10 * round(time), np.uint8), format='rgb24')
            frame.pts, frame.time_base = round(50 * time), Fraction(1, 1000)
            video.mux(track.encode(frame))
        video.mux(track.encode())
    for key, values in (('chunk_index', [0, 0]), ('file_index', [0, 0]),
                        ('from_timestamp', list(starts))):
        change_column(dataset / EPISODES, f'videos/{FRONT}/{key}', values)


def test_frames_are_chosen_by_their_own_time(dataset: Path) -> None:
    """The video goes on between the episodes, and its frames shake by a few milliseconds."""
    times = [time + 0.1 * (-1) ** time for time in range(25)]
    as_video(dataset, times, starts=(0.0, 0.75))
    for first, file in zip((0, 15), import_all(dataset), strict=True):
        for number, (seen, _) in enumerate(read_demonstration(file, ROBOT).steps, first):
            assert np.abs(seen.images['front'].astype(int) - 10 * number).max() <= 3


@pytest.mark.parametrize(('times', 'says'), [
    ([*range(4), *range(5, 17)], 'has no frame at 0.200 s, expected one within 0.0125 s; the '
                                 'next is at 0.250 s'),
    ([*range(4), 3.1, *range(4, 17)], 'has a frame at 0.155 s where none belongs, after 0.150 s'),
    ([time + 0.4 * (time == 6) for time in range(17)], 'has no frame at 0.300 s'),
    ([time + 0.5 for time in range(17)], 'has no frame at 0.000 s'),
    (list(range(8)), 'ends before 0.400 s')])
def test_a_missing_double_or_distant_frame_refuses_the_episode(
        dataset: Path, times: list[float], says: str) -> None:
    as_video(dataset, times)
    assert says in refusal(dataset)


def test_a_video_of_another_size_or_kind_is_refused(dataset: Path) -> None:
    as_video(dataset, list(range(17)))
    place = dataset / 'videos' / FRONT / 'chunk-000/0.mkv'
    whole = place.read_bytes()
    place.write_text('#EXTM3U\n#EXTINF:1,\n/etc/passwd\n')
    assert 'cannot be read as a video' in refusal(dataset)
    place.write_bytes(whole[:len(whole) // 2])
    assert 'before' in refusal(dataset) or 'cannot be read' in refusal(dataset)


def test_time_task_and_units_must_agree(dataset: Path) -> None:
    n, place = 17, dataset / DATA
    table = pq.read_table(place)
    frames = table['frame_index'].to_pylist()
    change_column(place, 'timestamp', [0.085 * frame for frame in frames])
    assert 'timestamp of frame 1 of episode 0 is 0.085 s, expected 0.050 s by fps 20' in refusal(
        dataset)
    change_column(place, 'timestamp', [0.05 * frame for frame in frames])
    change_column(place, 'frame_index', frames[::-1])
    assert 'the frame_index of episode 0 is' in refusal(dataset)
    change_column(place, 'frame_index', frames)
    pq.write_table(pa.table({'task_index': [0, 1], 'task': [SENTENCE, 'reach']}),
                   dataset / 'meta/tasks.parquet')
    change_column(place, 'task_index', [0] * 5 + [1] * (n - 5))
    assert f"episode 0 shows ['reach', '{SENTENCE}'], expected one task" in refusal(dataset)
    change_column(place, 'task_index', [0] * n)
    degrees = [np.rad2deg(row).tolist() for row in table['observation.state'].to_pylist()]
    change_column(place, 'observation.state', degrees)
    assert f'{POSITIONS} of panda_joint' in refusal(dataset)
    assert 'these look like degrees' in refusal(dataset)


@pytest.mark.parametrize(('key', 'value', 'says'), [
    ('data_path', '{chunk_index:0900000000d}', 'data_path is'), ('data_path', 7, 'data_path is 7'),
    ('data_path', '{x}', "data_path asks for 'x'"), ('codebase_version', 3, 'expected str'),
    ('features', [], 'features is []'), ('fps', '20', "fps is '20'"), ('fps', True,
    'fps is True')])
def test_a_description_of_wrong_types_is_one_sentence(dataset: Path, key: str, value: Any,
                                                      says: str) -> None:
    change_info(dataset, lambda info: info.update({key: value}))
    assert says in refusal(dataset)


def test_a_picture_that_announces_too_much_is_never_unpacked(dataset: Path) -> None:
    huge = cv2.imencode('.png', np.zeros((9000, 9000, 3), np.uint8))[1].tobytes()
    change_column(dataset / DATA, FRONT, [{'bytes': huge, 'path': ''}] * 17)
    assert 'the image is 9000x9000, expected' in refusal(dataset)


def test_the_same_import_again_goes_on_and_says_so(dataset: Path) -> None:
    out = dataset.parent / 'back'
    args = ['import', 'lerobot', str(dataset), '--out', str(out)]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))  # room for the shorter one
    try:
        with pytest.raises(RecordError, match='File too large; what is finished is kept'):
            import_all(dataset)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(out.iterdir()) == []
    first, second = import_all(dataset)
    before = first.read_bytes()
    second.rename(second.with_name(f'{second.name}.aside'))  # as a kill leaves it
    done = CliRunner().invoke(app, args, catch_exceptions=False)
    assert done.output.splitlines() == [
        f'{first}: kept, from a former import of the same data', str(second)]
    assert first.read_bytes() == before and sorted(out.iterdir()) == sorted((first, second))
    change_column(dataset / DATA, 'action', [[0.5] * 8] * 17)
    with pytest.raises(BagError, match='exists already and comes from something else'):
        import_all(dataset)
    assert first.read_bytes() == before


ARGUMENTS: dict[str, Any] = {'control_freq': 20}


def write_hdf5(place: Path, exported: Path, rewards: Any = None, **arguments: Any) -> Path:
    steps = read_demonstration(min((exported / 'demos').iterdir()), ROBOT).steps
    with h5py.File(place, 'w') as file:
        data = file.create_group('data')
        data.attrs['env_args'] = json.dumps({'env_kwargs': {**ARGUMENTS, **arguments}})
        demo = data.create_group('demo_0')
        for field, where in features(ROBOT).items():
            demo[where] = np.stack([sent if field == ROBOT.command_field else
                                    (seen.images | seen.proprioception)[field]
                                    for seen, sent in steps])
        if rewards is not None:
            demo['rewards'] = np.array(rewards)
    return place


def bring(place: Path, outcome: str = '', told: list[str] | None = None) -> list[Path]:
    tell = (lambda words: None) if told is None else told.append
    return [made.file for made in robomimic.import_robomimic(
        place, place.parent / 'back', ROBOT, SENTENCE, outcome, tell)]


@pytest.mark.parametrize(('rewards', 'outcome', 'says'), [
    ([0] * 9 + [1], 'success', ''), ([0] * 10, 'failure', ''),
    ([0.3] * 10, '', 'the rewards of data/demo_0 are no verdict (up to 0.3)'),
    ([0] * 9 + [float('nan')], '', 'are no verdict')])
def test_only_rewards_of_0_and_1_are_a_verdict(exported: Path, tmp_path: Path,
rewards: list[float],
                                               outcome: str, says: str) -> None:
    told: list[str] = []
    file, = bring(write_hdf5(tmp_path / 'low.hdf5', exported, rewards), told=told)
    assert read_about(file).get('outcome', '') == outcome
    assert any(says in words for words in told)
    shutil.rmtree(tmp_path / 'back')
    assert read_about(bring(tmp_path / 'low.hdf5', 'success')[0])['outcome'] == 'success'


@pytest.mark.parametrize(('controller', 'says'), [
    ({'type': 'OSC_POSE'}, "actions of a 'OSC_POSE' controller, expected JOINT_TORQUE"),
    ({'type': 'BASIC', 'body_parts': {'right': {'type': 'JOINT_POSITION'}}}, "'JOINT_POSITION'"),
    ({'type': 'JOINT_TORQUE', 'input_max': 1, 'output_max': 0.1}, 'are shares or changes')])
def test_actions_of_another_controller_are_refused(exported: Path, tmp_path: Path,
                                                   controller: Any, says: str) -> None:
    place = write_hdf5(tmp_path / 'low.hdf5', exported, controller_configs=controller)
    with pytest.raises(BagError) as caught:
        bring(place)
    assert says in str(caught.value)
    told: list[str] = []
    assert bring(write_hdf5(place, exported, controller_configs={'type': 'JOINT_TORQUE'}), '',
    told)
    assert told == []
    shutil.rmtree(tmp_path / 'back')
    bring(write_hdf5(place, exported), '', told)
    assert 'does not say which controller its actions are for' in told[0]


@pytest.mark.parametrize('put', [
    lambda demo: demo.__setitem__('action', h5py.SoftLink('/data/demo_0/action')),
    lambda demo: demo.__setitem__('action', h5py.ExternalLink('/etc/passwd', '/')),
    lambda demo: demo.create_dataset('action', (10, 8), 'f8', external=[('/etc/passwd', 0, 640)]),
    lambda demo: demo.create_dataset('action', (10**7, 8), 'f8', chunks=(99, 8)),
    lambda demo: demo.create_dataset('action', data='text'),
    lambda demo: demo.create_group('action')])
def test_hdf5_brings_nothing_but_its_own_arrays(exported: Path, tmp_path: Path, put: Any) -> None:
    place = write_hdf5(tmp_path / 'low.hdf5', exported)
    with h5py.File(place, 'r+') as file:
        del file['data/demo_0/action']
        put(file['data/demo_0'])
    with pytest.raises(BagError, match='cannot be read as a robomimic file'):
        bring(place)
    assert not list(tmp_path.glob('back/*'))


def test_a_file_that_stops_its_library_is_given_up(
        exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the process that goes first meets: no end, or a crash."""
    from gato_ros.episodes.exchange import hdf5
    place = write_hdf5(tmp_path / 'low.hdf5', exported)
    monkeypatch.setattr(hdf5, 'SECONDS', 0.2)
    for meets, says in ((multiprocessing.Event().wait, 'does not come to an end'),
                        (lambda: multiprocessing.current_process().kill(), 'ends a process')):
        monkeypatch.setattr(hdf5, '_read_all', lambda file, meets=meets: meets())
        with pytest.raises(BagError, match=says):
            bring(place)
