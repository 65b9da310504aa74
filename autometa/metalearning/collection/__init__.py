"""Measure configurations on tables and export the records."""
