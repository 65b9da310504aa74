"""Combine models that were fitted and validated."""
