"""Parameters of other studies in the space of a new one."""
