"""The door for Optuna users: a new study of an objective of one's own starts from what old studies learnt."""
