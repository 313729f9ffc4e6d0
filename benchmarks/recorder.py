"""Whether the recorder keeps up: three cameras of 640 x 480 at 20 Hz and joints at 500 Hz.

    python benchmarks/recorder.py --seconds 60

Publisher, recorder and this program are processes of their own over real DDS. Every message has a
number; what the file lacks was dropped. Status 1 when anything was.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import yaml

from gato_ros.tools.graph.children import free_domain

ROOT = Path(__file__).resolve().parents[1]
CAMERAS, HEIGHT, WIDTH, IMAGE_HZ, JOINT_HZ = 3, 480, 640, 20, 500


def robot_file(folder: Path) -> Path:
    """Write the YAML file of a Panda with three large cameras."""
    robot = yaml.safe_load((ROOT / 'config/robots/panda_sim.yaml').read_text(encoding='utf-8'))
    robot['name'] = 'three_cameras'
    robot['cameras'] = [{'name': f'c{i}', 'topic': f'camera/c{i}/image_raw', 'height': HEIGHT,
                         'width': WIDTH} for i in range(CAMERAS)]
    file = folder / 'three_cameras.yaml'
    file.write_text(yaml.safe_dump(robot), encoding='utf-8')
    return file


def publish(seconds: float) -> None:
    """Publish like a robot, when somebody listens; stamps count messages from 1 ms on."""
    import numpy as np
    import rclpy
    from sensor_msgs.msg import Image, JointState

    from gato_ros.nodes.common import convert, qos

    rclpy.init()
    node = rclpy.create_node('load')
    joints = node.create_publisher(JointState, 'joint_states', qos.SENSORS)
    images = [node.create_publisher(Image, f'camera/c{i}/image_raw', qos.SENSORS)
              for i in range(CAMERAS)]
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    pictures = [convert.from_image(noise, 0, '') for _ in images]
    state = convert.from_joints([f'j{i}' for i in range(8)], np.zeros(8), np.zeros(8), 0)
    while not all(p.get_subscription_count() for p in (joints, *images)):
        time.sleep(0.05)
    print('ready', flush=True)
    sys.stdin.readline()
    began, every = time.monotonic(), JOINT_HZ // IMAGE_HZ
    for number in range(int(seconds * JOINT_HZ)):
        time.sleep(max(0.0, began + number / JOINT_HZ - time.monotonic()))
        state.header.stamp = convert.to_stamp((number + 1) * 1_000_000_000 // JOINT_HZ)
        joints.publish(state)
        if number % every == 0:
            for publisher, picture in zip(images, pictures, strict=True):
                picture.header.stamp = state.header.stamp
                publisher.publish(picture)
    late = time.monotonic() - began - seconds
    for publisher in (joints, *images):
        publisher.wait_for_all_acked(rclpy.duration.Duration(seconds=5.0))
    print(f'{late:.3f}', flush=True)
    sys.stdin.readline()
    rclpy.shutdown()


def main() -> int:
    """Run the load and count what is in the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--seconds', type=float, default=30.0)
    parser.add_argument('--scheduling', default='real_time', help='or ordinary')
    parser.add_argument('--publish', action='store_true', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.publish:
        publish(args.seconds)
        return 0
    os.environ.update(ROS_DOMAIN_ID=str(free_domain()),
                      ROS_AUTOMATIC_DISCOVERY_RANGE='LOCALHOST')
    import rclpy
    from std_srvs.srv import SetBool, Trigger

    from gato_ros.episodes.recordings.inspect import contents

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recorder = subprocess.Popen(
            [sys.executable, '-m', 'gato_ros.nodes.recorder.recorder_node', '--ros-args', '-p',
             f'robot:={robot_file(folder)}', '-p', f'folder:={folder}', '-p', 'sentence:="load"',
             '-p', f'scheduling:={args.scheduling}'])
        load = subprocess.Popen([sys.executable, __file__, '--publish', '--seconds',
                                 str(args.seconds)], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, text=True)
        assert load.stdin and load.stdout
        load.stdout.readline()
        rclpy.init()
        node = rclpy.create_node('ask')

        def call(kind: type, service: str, **values: object) -> str:
            client = node.create_client(kind, f'recorder/{service}')
            client.wait_for_service()
            future = client.call_async(kind.Request(**values))
            rclpy.spin_until_future_complete(node, future)
            return future.result().message

        print(call(Trigger, 'start'))
        load.stdin.write('\n')
        load.stdin.flush()
        late = load.stdout.readline().strip()
        time.sleep(1.0)
        print(call(SetBool, 'save', data=True))
        load.communicate('\n')
        recorder.terminate()
        recorder.wait()
        rclpy.shutdown()
        file, = folder.glob('*.mcap')
        found = contents(file)
        size = file.stat().st_size
    steps = int(args.seconds * JOINT_HZ)
    expected = Counter({'/joint_states': steps})
    expected.update({f'/camera/c{i}/image_raw': -(-steps * IMAGE_HZ // JOINT_HZ)
                     for i in range(CAMERAS)})
    dropped = {topic: count - found.topics.get(topic, 0) for topic, count in expected.items()}
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(json.dumps({'seconds': args.seconds, 'expected': dict(expected), 'dropped': dropped,
                      'publisher_late_s': float(late), 'file_mb': round(size / 1e6, 1),
                      'cpu_s_of_both_processes': round(used.ru_utime + used.ru_stime, 1)}))
    return int(any(dropped.values()))


if __name__ == '__main__':
    sys.exit(main())
