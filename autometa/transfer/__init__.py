"""Lets Optuna studies of any objective start from past studies."""
