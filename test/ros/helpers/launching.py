"""What `ros2 launch` does with one of our files: python launching.py FILE [name:=value ...]."""

from __future__ import annotations

import sys

from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource


def main() -> int:
    arguments = [tuple(argument.split(':=', 1)) for argument in sys.argv[2:]]
    service = LaunchService(argv=sys.argv[2:], noninteractive=True)
    service.include_launch_description(LaunchDescription([IncludeLaunchDescription(
        PythonLaunchDescriptionSource(sys.argv[1]), launch_arguments=arguments)]))
    return service.run()


if __name__ == '__main__':
    sys.exit(main())
