"""Reads past studies and keeps them in files."""
