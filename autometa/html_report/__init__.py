"""Writes the HTML page on a fitted model: one file without scripts, which needs no network."""
