"""Records of configurations on past tasks, which policies learn from."""
