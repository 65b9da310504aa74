"""A policy that reads the search with a recurrent network (RL²)."""
