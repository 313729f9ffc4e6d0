"""A real arm: the gate first and closed, then controllers, cameras and the policy, inactive.

ros2 launch gato_ros robot.launch.py robot:=fr3 checkpoint:=/path blend:=0.1
ros2 launch gato_ros robot.launch.py robot:=my_arm.yaml devices:=wrist=/dev/video4
Read docs/bring_up.md before. The robot's own driver (hardware interface, controller manager) is
started by its own launch file; this one loads the controllers into it, inactive.
"""

from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    IncludeLaunchDescription,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.event_handlers import OnProcessStart
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from gato_ros.config import ConfigError, data_path, read_yaml
from gato_ros.nodes.common.launching import (
    VIEW,
    WITH_LAUNCH,
    arguments,
    ends_all,
    local_discovery,
    needs,
    node,
    value,
    view,
)
from gato_ros.robot import RobotSpec, load_robot

ARGUMENTS = (
    ('robot', 'fr3', "The robot: a name in config/robots or a YAML file's path."),
    ('checkpoint', '', "The policy's folder; '': the one that comes with the package."),
    ('prompt', '', 'What the policy is told.'),
    ('device', 'cpu', 'Where torch computes: cpu or cuda.'),
    ('scheduling', 'real_time', 'real_time: SCHED_RR where the system permits it; ordinary.'),
    ('controllers', '', "A parameter file of ros2_control; '': config/controllers/NAME.yaml, by "
     "the robot's name. Its controllers are loaded and stay inactive."),
    ('stop', 'ramp', 'What a stop does: ramp to zero residual torque, or hold.'),
    ('blend', '0.0', 'How much of each proposal reaches the arm, 0 to 1; 0 for a dry run.'),
    ('cameras', 'true', "Start a v4l2 driver for each of the robot's cameras; false: they run "
     'already.', ['true', 'false']),
    ('devices', '', 'Which device is which camera, as NAME=DEVICE,NAME=DEVICE; without it '
     "/dev/video0, 2, 4 ... in the order of the robot's YAML file."),
    VIEW,
)


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments; the rest depends on the robot."""
    return LaunchDescription([*arguments(ARGUMENTS), local_discovery(),
                              OpaqueFunction(function=start), view(describe=False)])


def start(context: LaunchContext) -> list:
    """Return the gate, and behind it all else; what cannot start is a sentence, the gate stays."""
    given = {name: LaunchConfiguration(name).perform(context)
             for name in (*(name for name, *_ in ARGUMENTS), 'namespace')}
    safety = node('safety', {'robot': value('robot'), 'stop': value('stop'),
                             'scheduling': value('scheduling'), 'blend': value('blend', float)},
                  on_exit=ends_all('without the safety node nothing may move'))
    try:
        robot = load_robot(given['robot'])
    except ConfigError:
        return [safety]  # it says why and ends, and that ends the launch
    policy = IncludeLaunchDescription(
        PathJoinSubstitution([FindPackageShare('gato_ros'), 'launch', 'policy.launch.py']),
        launch_arguments={name: given[name] for name in (
            'robot', 'checkpoint', 'prompt', 'device', 'scheduling', 'namespace')}.items())
    rest = controllers(robot, given['controllers'], given['namespace'])
    if given['cameras'] == 'true':
        rest += cameras(robot, given['devices'], given['namespace'])
    return [RegisterEventHandler(OnProcessStart(target_action=safety, on_start=[*rest, policy])),
            safety]


def controllers(robot: RobotSpec, file: str, namespace: str) -> list:
    """Return the spawner of the robot's controllers, and sentences about what is missing."""
    try:
        path = Path(file) if file else data_path('config', 'controllers', f'{robot.name}.yaml')
        known = {str(key).rpartition('/')[2] for key in read_yaml(path)}
    except ConfigError as error:
        return [LogInfo(msg=f'no controller is loaded: {error} (argument controllers)')]
    wanted = [name for name in robot.controllers if name in known]
    missing = [LogInfo(msg=f'{name} is not in {path}: whoever takes its place reads {topic}')
               for name, topic in robot.controllers.items() if name not in known]
    if not wanted:
        return missing
    return missing + needs('controller_manager', 'no controller is loaded', Node(
        package='controller_manager', executable='spawner', exec_name='spawner', output='screen',
        namespace=namespace, prefix=WITH_LAUNCH,
        arguments=[*wanted, '--inactive', '--param-file', str(path.resolve())]))


def cameras(robot: RobotSpec, devices: str, namespace: str) -> list:
    """Return a driver for each camera, which publishes on its topic, about as large as it says."""
    chosen = dict(pair.strip().partition('=')[::2] for pair in devices.split(',') if pair)
    if unknown := set(chosen) - {camera.name for camera in robot.cameras}:
        return [LogInfo(msg=f'no camera is started: devices names {", ".join(unknown)}, expected '
                            f'NAME=DEVICE of {", ".join(c.name for c in robot.cameras)}')]
    found = []
    for number, camera in enumerate(robot.cameras):
        topic = camera.topic.removesuffix('/compressed')
        if not topic.startswith('/'):
            topic = f'{namespace}/{topic}'
        folder, _, last = topic.rpartition('/')
        parameters = {'video_device': chosen.get(camera.name) or f'/dev/video{2 * number}',
                      'output_encoding': 'rgb8',
                      'camera_frame_id': f'{namespace.strip("/")}/{camera.frame}'.lstrip('/')}
        if camera.crop is None:  # which counts in the pixels of the driver's own size
            parameters['image_size'] = [camera.width, camera.height]
        found.append(Node(
            package='v4l2_camera', executable='v4l2_camera_node', name=f'{camera.name}_camera',
            exec_name=f'{camera.name}_camera', namespace=folder, parameters=[parameters],
            remappings=[('image_raw', last)], output='screen', prefix=WITH_LAUNCH))
    return needs('v4l2_camera', 'no camera is started', *found) if found else []
