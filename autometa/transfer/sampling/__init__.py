"""Chooses what to try next by past studies and the new one."""
