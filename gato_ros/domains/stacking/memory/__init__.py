"""Tasks of the blocks' world that one timestep does not show: what counts was seen before."""
