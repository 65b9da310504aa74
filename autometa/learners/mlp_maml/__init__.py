"""A network that starts from meta-learned weights and a fitted head."""
