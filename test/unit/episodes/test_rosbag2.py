"""What rosbag2 and Foxglove find in a recording: offers, latched topics, a bag's folder."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import yaml
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from mcap_ros2.writer import Writer
from recordings import ROBOT, serialised

from gato_ros.episodes.recordings.definitions import DEFINITIONS, FRAMES, WORDS
from gato_ros.episodes.recordings.inspect import trim
from gato_ros.episodes.recordings.mcap_file import BagError
from gato_ros.episodes.recordings.rosbag2 import offer, offers_text, write_folder
from gato_ros.episodes.recordings.session import Session


def cdr(kind: str, message: dict) -> bytes:
    """Return a message as DDS carries it, by a library's hand."""
    stream = io.BytesIO()
    writer = Writer(stream)
    writer.write_message('x', writer.register_msgdef(kind, DEFINITIONS[kind]), message)
    writer.finish()
    return next(make_reader(io.BytesIO(stream.getvalue())).iter_messages())[2].data


def placed(parent: str, child: str, x: float) -> bytes:
    return cdr(FRAMES, {'transforms': [{
        'header': {'stamp': {'sec': 1, 'nanosec': 0}, 'frame_id': parent},
        'child_frame_id': child, 'transform': {
            'translation': {'x': x, 'y': 0.0, 'z': 0.0},
            'rotation': {'x': 0.0, 'y': 0.0, 'z': 0.0, 'w': 1.0}}}]})


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A recording with what was latched before it began; the front camera is best effort."""
    front, *_ = (camera.topic for camera in ROBOT.cameras)
    offers = {front: offers_text([offer(False, False, 5)]),
              '/tf_static': offers_text([offer(True, True, 1)])}
    session = Session(ROBOT, tmp_path, {'source': 'expert', 'ros': 'jazzy'}, 1, offers)
    for topic, data in (('/tf_static', placed('base', 'camera_front', 1.0)),
                        ('/tf_static', placed('base', 'camera_wrist', 2.0)),
                        ('/tf_static', placed('base', 'camera_front', 1.0)),
                        ('robot_description', cdr(WORDS, {'data': '<robot name="x"/>'}))):
        assert session.write(topic, 1, data) == ''
    session.start('stack')
    for topic, log_ns, data in serialised():
        session.write(topic, log_ns, data)
    session.write('/tf', 1_600_000_000, placed('base', 'tool', 3.0))
    return session.save('success').file


def test_a_recording_begins_with_what_was_latched_before_it(recording: Path) -> None:
    with recording.open('rb') as stream:
        found = [(channel.topic, message) for _, channel, _, message in make_reader(
            stream, decoder_factories=[DecoderFactory()]).iter_decoded_messages()]
    frames = {(topic, one.child_frame_id): one.transform.translation.x
              for topic, message in found if topic.startswith('/tf') for one in message.transforms}
    assert frames == {('/tf_static', 'camera_front'): 1.0, ('/tf_static', 'camera_wrist'): 2.0,
                      ('/tf', 'tool'): 3.0}
    assert sum(topic == '/tf_static' for topic, _ in found) == 2, 'what came twice is kept once'
    assert [message.data for topic, message in found if topic == '/robot_description'] == [
        '<robot name="x"/>']


def test_a_folder_has_the_metadata_of_its_file(recording: Path, tmp_path: Path) -> None:
    target = write_folder(recording, tmp_path / 'bags' / 'one')
    about = yaml.safe_load(target.read_text())['rosbag2_bagfile_information']
    with recording.open('rb') as stream:
        said = make_reader(stream).get_summary().statistics
    assert about['message_count'] == said.message_count
    assert about['starting_time']['nanoseconds_since_epoch'] == said.message_start_time
    assert about['duration']['nanoseconds'] == said.message_end_time - said.message_start_time
    assert about['relative_file_paths'] == [recording.name] and about['ros_distro'] == 'jazzy'
    topics = {row['topic_metadata']['name']: row for row in about['topics_with_message_count']}
    joints = topics['/joint_states']
    assert joints['topic_metadata']['type'] == 'sensor_msgs/msg/JointState'
    assert joints['message_count'] == sum(topic == 'joint_states' for topic, *_ in serialised())
    offered = {name: [(one['reliability'], one['durability'], one['depth'])
                      for one in row['topic_metadata']['offered_qos_profiles']]
               for name, row in topics.items()}
    assert offered['/tf_static'] == [('reliable', 'transient_local', 1)]
    assert offered['/camera/front/image_raw'] == [('best_effort', 'volatile', 5)]
    assert offered['/joint_states'] == []
    assert (tmp_path / 'bags' / 'one' / recording.name).read_bytes() == recording.read_bytes()


def test_a_trimmed_recording_keeps_its_offers(recording: Path, tmp_path: Path) -> None:
    trim(recording, tmp_path / 'short.mcap', 0.0, 1e9)
    about = yaml.safe_load(write_folder(tmp_path / 'short.mcap', tmp_path / 'bag').read_text())
    assert any(row['topic_metadata']['offered_qos_profiles'] for row in about[
        'rosbag2_bagfile_information']['topics_with_message_count'])


def test_rosbags_reads_the_folder(recording: Path, tmp_path: Path) -> None:
    rosbag2 = pytest.importorskip('rosbags.rosbag2', reason='pip install rosbags')
    write_folder(recording, tmp_path / 'bag')
    with rosbag2.Reader(tmp_path / 'bag') as reader:
        assert {one.topic for one in reader.connections} >= {'/tf', '/tf_static', '/joint_states'}
        assert reader.message_count == sum(1 for _ in reader.messages())
        assert reader.message_count > len(serialised())


def test_what_is_there_stays_and_what_has_no_index_is_named(recording: Path,
                                                            tmp_path: Path) -> None:
    write_folder(recording, tmp_path / 'bag')
    with pytest.raises(BagError, match='bag cannot be written: File exists; expected the name of'):
        write_folder(recording, tmp_path / 'bag')
    torn = tmp_path / 'torn.mcap'
    torn.write_bytes(recording.read_bytes()[:-2000])
    with pytest.raises(BagError, match=r'torn\.mcap.*record repair'):
        write_folder(torn, tmp_path / 'other')
