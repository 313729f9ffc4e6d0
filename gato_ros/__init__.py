"""An open generalist robot agent: one Gato-style transformer in a ROS 2 package."""

__version__ = '0.4.0'
