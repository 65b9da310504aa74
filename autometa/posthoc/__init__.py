"""Adjustments that are fitted to out-of-fold predictions after a search: temperature, threshold, intervals."""
