"""Collect records on tables, replay searches on them, and train policies; no fit imports this package."""
