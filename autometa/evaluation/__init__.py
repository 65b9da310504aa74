"""Evaluations: fit and measure one configuration on one fold, in limited processes."""
