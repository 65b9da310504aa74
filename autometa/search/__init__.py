"""The search: runs an Optuna study on a task within a budget."""
