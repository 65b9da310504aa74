"""Measure one configuration on one fold."""
