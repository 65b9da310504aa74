"""Train policies and network starts on records."""
