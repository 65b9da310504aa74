"""What to stop, by past learning curves."""
