"""Recordings to other people's formats and back: exact, and refused in a sentence otherwise."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from recordings import ROBOT, SENTENCE, record
from typer.testing import CliRunner

from gato_ros.episodes.recordings.bag import read_demonstration
from gato_ros.episodes.recordings.mcap_file import BagError, read_about
from gato_ros.episodes.recordings.topics import features
from gato_ros.robot import POSITIONS, TORQUES, VELOCITIES
from gato_ros.tools.cli import app

pa = pytest.importorskip('pyarrow', reason='pyarrow is not installed (extra exchange)')
pq = pytest.importorskip('pyarrow.parquet')
pytest.importorskip('av', reason='PyAV is not installed (extra exchange)')
lerobot = pytest.importorskip('gato_ros.episodes.exchange.lerobot')
export_lerobot, import_lerobot = lerobot.export_lerobot, lerobot.import_lerobot


@pytest.fixture
def demos(tmp_path: Path) -> Path:
    record(tmp_path / 'demos', steps=10), record(tmp_path / 'demos', steps=7)
    return tmp_path / 'demos'


@pytest.fixture
def dataset(demos: Path, tmp_path: Path) -> Path:
    export_lerobot(sorted(demos.glob('*.mcap')), tmp_path / 'dataset', ROBOT)
    return tmp_path / 'dataset'


def test_pictures_of_others_are_taken_as_they_are(demos: Path, dataset: Path,
                                                  tmp_path: Path) -> None:
    """A dataset holds what a policy saw: a robot's lens, crop and turn are not applied again."""
    eyes = tuple(dataclasses.replace(
        camera, topic=f'{camera.topic}/compressed', transport='compressed', undistort=True,
        crop=(80, 0, 480, 480), rotate=180) for camera in ROBOT.cameras)
    other = dataclasses.replace(ROBOT, cameras=eyes)
    for file, _ in import_lerobot(dataset, tmp_path / 'back', other):
        there = read_demonstration(demos / file.name, ROBOT).steps
        back = read_demonstration(file, other).steps
        assert len(back) == len(there) > 6
        for (seen, _), (original, _) in zip(back, there, strict=True):
            for name, image in original.images.items():
                assert np.array_equal(seen.images[name], image)


def change_info(dataset: Path, **values: object) -> None:
    place = dataset / 'meta/info.json'
    place.write_text(json.dumps({**json.loads(place.read_text()), **values}))


def test_a_round_trip_is_exact(demos: Path, dataset: Path, tmp_path: Path) -> None:
    files = [made.file for made in import_lerobot(dataset, tmp_path / 'back', ROBOT)]
    assert [file.name for file in files] == sorted(file.name for file in demos.iterdir())
    for file in files:
        there = read_demonstration(demos / file.name, ROBOT).steps
        back = read_demonstration(file, ROBOT).steps
        assert len(back) == len(there) > 6
        for (seen, sent), (original, effort) in zip(back, there, strict=True):
            assert seen.stamp_ns == original.stamp_ns and np.array_equal(sent, effort)
            for name, values in original.proprioception.items():
                assert np.array_equal(seen.proprioception[name], values)
            for name, image in original.images.items():
                assert np.array_equal(seen.images[name], image)
        about = read_about(file)
        assert [about[key] for key in ('sentence', 'task', 'outcome', 'source')] == [
            SENTENCE, 'stack_wide', 'success', 'teleoperation']


LEROBOT = os.environ.get('LEROBOT_PYTHON', '')
ALONE = {**os.environ, 'PYTHONPATH': '', 'HF_HUB_OFFLINE': '1'}
needs_lerobot = pytest.mark.skipif(not LEROBOT, reason='LEROBOT_PYTHON names no interpreter that '
                                   'has lerobot, whose versions of torch and numpy are others')
READ = """
import sys, numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset
data = LeRobotDataset('local/test', root=sys.argv[1])
rows = [data[i] for i in range(len(data))]
keys = ('observation.state', 'observation.velocity', 'action', 'stamp_ns', 'timestamp',
        'observation.images.front', 'observation.images.wrist')
np.savez(sys.argv[2], task=[row['task'] for row in rows], episodes=data.num_episodes,
         mean=data.meta.stats['action']['mean'],
         **{key: np.stack([row[key].numpy() for row in rows]) for key in keys})
"""


@pytest.mark.slow
@needs_lerobot
def test_lerobot_itself_reads_it(demos: Path, dataset: Path, tmp_path: Path) -> None:
    subprocess.run([LEROBOT, '-c', READ, dataset, tmp_path / 'read.npz'], check=True, timeout=300,
                   env=ALONE)
    read = np.load(tmp_path / 'read.npz')
    steps = [step for file in sorted(demos.glob('*.mcap'))
             for step in read_demonstration(file, ROBOT).steps]
    assert read['episodes'] == 2 and set(read['task']) == {SENTENCE}
    assert read['stamp_ns'].reshape(-1).tolist() == [seen.stamp_ns for seen, _ in steps]
    # LeRobot hands out float32 of whatever the file holds.
    assert np.array_equal(read['action'],
                          np.stack([effort for _, effort in steps]).astype(np.float32))
    assert np.allclose(read['mean'], np.mean([effort for _, effort in steps], axis=0))
    for number, (seen, _) in enumerate(steps):
        assert np.array_equal(read['observation.state'][number],
                              seen.proprioception[POSITIONS].astype(np.float32))
        for name, image in seen.images.items():
            picture = read[f'observation.images.{name}'][number].transpose(1, 2, 0)
            assert np.array_equal(np.round(picture * 255).astype(np.uint8), image)


WRITE = """
import sys, numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset
root, kind, names = sys.argv[1], sys.argv[2], sys.argv[3].split(',')
sizes = {'observation.state': 8, 'observation.velocity': 7, 'action': 8}
features = {name: {'dtype': 'float32', 'shape': (n,), 'names': names[:n]}
            for name, n in sizes.items()}
cameras = ['observation.images.front', 'observation.images.wrist']
features |= {name: {'dtype': kind, 'shape': (64, 64, 3), 'names': ['height', 'width', 'channels']}
             for name in cameras}
data = LeRobotDataset.create('local/made', fps=20, features=features, root=root,
                             use_videos=kind == 'video')
for episode in range(2):
    for step in range(10):
        data.add_frame({name: np.full(feature['shape'], 10 * step + episode if name in cameras
                                      else step / 16 + episode, np.uint8 if name in cameras
                                      else np.float32)
                        for name, feature in features.items()} | {'task': f'task {episode}'})
    data.save_episode()
data.finalize()
"""


@pytest.mark.slow
@needs_lerobot
@pytest.mark.parametrize(('kind', 'loss'), [('image', 0), ('video', 3)])
def test_what_lerobot_writes_is_read(tmp_path: Path, kind: str, loss: int) -> None:
    """Its videos are AV1: flat grey comes back within 3 of 255 levels."""
    subprocess.run([LEROBOT, '-c', WRITE, tmp_path / 'made', kind, ','.join(ROBOT.joint_names)],
                   check=True, timeout=300, env=ALONE)
    made = [one.file for one in import_lerobot(tmp_path / 'made', tmp_path / 'back', ROBOT,
                                               'success')]
    assert [file.name for file in made] == ['made-000000.mcap', 'made-000001.mcap']
    for episode, file in enumerate(made):
        assert read_about(file)['sentence'] == f'task {episode}'
        steps = read_demonstration(file, ROBOT).steps
        assert len(steps) == 10
        for step, (seen, sent) in enumerate(steps):
            assert seen.stamp_ns == 50_000_000 * step
            assert np.array_equal(sent, np.full(8, step / 16 + episode))
            assert np.array_equal(seen.proprioception[VELOCITIES], sent[:7])
            for image in seen.images.values():
                assert np.abs(image.astype(int) - 10 * step - episode).max() <= loss


def test_names_decide_the_order_and_time_comes_from_the_frames(
        demos: Path, dataset: Path, tmp_path: Path) -> None:
    """As others write it: another order of joints, no stamps, nothing of ours."""
    order = np.arange(8)[::-1]
    place = next((dataset / 'data').rglob('*.parquet'))
    table = pq.read_table(place).drop_columns(['stamp_ns'])
    turned = pa.array([[row[i] for i in order] for row in table['action'].to_pylist()],
                      pa.list_(pa.float64(), 8))
    pq.write_table(table.set_column(table.column_names.index('action'), 'action', turned), place)
    info = json.loads((dataset / 'meta/info.json').read_text())
    info['features']['action']['names'] = {'motors': [ROBOT.joint_names[i] for i in order]}
    change_info(dataset, features=info['features'])
    place = dataset / 'meta/episodes/chunk-000/file-000.parquet'
    episodes = pq.read_table(place)
    pq.write_table(episodes.drop_columns([n for n in episodes.column_names
                                          if n.startswith('gato_ros/')]), place)
    file = next(import_lerobot(dataset, tmp_path / 'back', ROBOT, 'success')).file
    back = read_demonstration(file, ROBOT).steps
    there = read_demonstration(min(demos.iterdir()), ROBOT).steps
    assert [seen.stamp_ns for seen, _ in back] == [50_000_000 * i for i in range(len(there))]
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(back, there, strict=True))


def test_pictures_may_come_from_a_video(dataset: Path, tmp_path: Path) -> None:
    """Motion JPEG keeps flat pictures within a few of 255 levels."""
    info = json.loads((dataset / 'meta/info.json').read_text())
    name = 'observation.images.front'
    info['features'][name]['dtype'] = 'video'
    change_info(dataset, features=info['features'],
                video_path='videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.avi')
    place = dataset / 'videos' / name / 'chunk-000/file-000.avi'
    place.parent.mkdir(parents=True)
    writer = cv2.VideoWriter(str(place), cv2.VideoWriter_fourcc(*'MJPG'), 20, (64, 64))
    for frame in range(17):
        writer.write(np.full((64, 64, 3), (0, 0, 15 * frame), np.uint8))  # red, in BGR
    writer.release()
    meta = dataset / 'meta/episodes/chunk-000/file-000.parquet'
    episodes = pq.read_table(meta)
    for key, values in (('chunk_index', [0, 0]), ('file_index', [0, 0]),
                        ('from_timestamp', [0.0, 0.5])):
        episodes = episodes.append_column(f'videos/{name}/{key}', pa.array(values))
    pq.write_table(episodes, meta)
    for first, (file, _) in zip((0, 10), import_lerobot(dataset, tmp_path / 'back', ROBOT),
                                strict=True):
        for frame, (seen, _) in enumerate(read_demonstration(file, ROBOT).steps, first):
            expected = np.broadcast_to((15 * frame, 0, 0), (64, 64, 3))
            assert np.abs(seen.images['front'].astype(int) - expected).max() <= 3


def test_what_is_no_dataset_of_this_robot(dataset: Path, tmp_path: Path) -> None:
    def says(words: str, robot: object = ROBOT) -> None:
        with pytest.raises(BagError, match=words):
            list(import_lerobot(dataset, tmp_path / 'back', robot))
        assert not list(tmp_path.glob('back/*'))

    says('has 20 frames a second, expected 30', dataclasses.replace(ROBOT, rate_hz=30.0))
    says("has no feature 'observation.images.side', expected one for front",
         dataclasses.replace(ROBOT, features={'front': 'observation.images.side'}))
    says(r"'observation.state' is 'float64' of shape \[8\], expected pictures",
         dataclasses.replace(ROBOT, features={'front': 'observation.state',
                                              POSITIONS: 'observation.images.front'}))
    says('the image is 64x64, expected 32x64', dataclasses.replace(
        ROBOT, cameras=(dataclasses.replace(ROBOT.cameras[0], height=32), *ROBOT.cameras[1:])))
    change_info(dataset, data_path='../../{chunk_index}.parquet')
    says('expected a file inside the dataset')
    change_info(dataset, codebase_version='v2.1')
    says('is a LeRobotDataset v2.1, expected v3.0')
    (dataset / 'meta/info.json').write_text('{"codebase')
    says('is no part of a LeRobotDataset')
    (dataset / 'meta/info.json').unlink()
    says('cannot be read: No such file')


def test_the_map_is_checked() -> None:
    assert features(ROBOT)[TORQUES] == 'action'
    for changed, words in (({'elbow': 'x'}, "features names 'elbow', expected front, wrist"),
                           ({'front': 'action'}, 'features repeat')):
        with pytest.raises(Exception, match=words):
            features(dataclasses.replace(ROBOT, features=changed))


def test_the_commands(demos: Path, dataset: Path, tmp_path: Path) -> None:
    record(demos, 'failure')
    done = CliRunner().invoke(app, ['export', 'lerobot', str(demos), '--out',
                                    str(tmp_path / 'again')], catch_exceptions=False)
    assert 'is marked failure, expected success' in done.output and '2 episodes' in done.output
    assert not list(tmp_path.glob('*.aside'))
    done = CliRunner().invoke(app, ['import', 'lerobot', str(tmp_path / 'again'), '--out',
                                    str(tmp_path / 'back')], catch_exceptions=False)
    assert done.output.split() == list(map(str, sorted((tmp_path / 'back').iterdir())))
    again = CliRunner().invoke(app, ['export', 'lerobot', str(demos), '--out', str(dataset)])
    assert str(again.exception) == f'{dataset} exists already, expected a new folder'


def test_robomimic_comes_in(demos: Path, tmp_path: Path) -> None:
    h5py = pytest.importorskip('h5py', reason='h5py is not installed (extra exchange)')
    from gato_ros.episodes.exchange.robomimic import import_robomimic
    robot = dataclasses.replace(ROBOT, features={
        'front': 'obs/agentview_image', 'wrist': 'obs/robot0_eye_in_hand_image',
        POSITIONS: 'obs/robot0_joint_pos', VELOCITIES: 'obs/robot0_joint_vel',
        TORQUES: 'actions'})
    steps = read_demonstration(min(demos.iterdir()), ROBOT).steps
    place = tmp_path / 'low_dim.hdf5'

    def write(rate: float, skip: str = '') -> None:
        with h5py.File(place, 'w') as file:
            data = file.create_group('data')
            data.attrs['env_args'] = json.dumps({'env_kwargs': {'control_freq': rate}})
            for name in ('demo_0', 'demo_10', 'demo_2'):
                demo = data.create_group(name)
                for field, where in features(robot).items():
                    rows = [effort if field == TORQUES else
                            (seen.images | seen.proprioception)[field] for seen, effort in steps]
                    if where != skip:
                        demo[where] = np.stack(rows)
                demo['rewards'] = np.eye(len(steps))[-1] * (name != 'demo_2')

    write(20)
    made = [one.file for one in import_robomimic(place, tmp_path / 'back', robot, SENTENCE)]
    assert [file.stem for file in made] == [f'low_dim-demo_{n}' for n in (0, 2, 10)]
    assert [read_about(file)['outcome'] for file in made] == ['success', 'failure', 'success']
    back = read_demonstration(made[2], robot).steps
    for number, ((seen, sent), (original, effort)) in enumerate(zip(back, steps, strict=True)):
        assert seen.stamp_ns == 50_000_000 * number and np.array_equal(sent, effort)
        assert np.array_equal(seen.images['wrist'], original.images['wrist'])
    for damage, words in (({'rate': 10}, 'has control_freq 10, expected 20'),
                          ({'rate': 20, 'skip': 'actions'}, "has no 'actions', expected it for "
                           'joint_torques')):
        write(**damage)
        with pytest.raises(BagError, match=words):
            list(import_robomimic(place, tmp_path / 'none', robot, SENTENCE))
    place.write_bytes(place.read_bytes()[:900])
    with pytest.raises(BagError, match='cannot be read as a robomimic file'):
        list(import_robomimic(place, tmp_path / 'none', robot, SENTENCE))
    assert not list(tmp_path.glob('none/*'))
