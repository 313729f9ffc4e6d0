"""Any arm with a gripper before the blocks: its MuJoCo model in their world, and its measures."""
