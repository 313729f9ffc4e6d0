"""Other people's descriptions of a robot (URDF, MJCF), and a robot's YAML file from them."""
