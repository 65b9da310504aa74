"""Puts past studies into the space of a new one."""
