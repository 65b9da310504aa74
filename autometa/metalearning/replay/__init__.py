"""Replay searches on recorded tasks, on a simulated clock."""
