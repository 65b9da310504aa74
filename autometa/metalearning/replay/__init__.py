"""Replay searches on recorded tasks, on a simulated clock."""

BEST_STATIC = "best_static"
"""Names, as a baseline, the static policy with the lowest mean regret at each limit."""
