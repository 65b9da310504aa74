"""Stops hopeless trials by past learning curves."""
