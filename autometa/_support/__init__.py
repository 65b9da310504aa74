"""Helpers without domain knowledge; nothing here imports from the rest of autometa."""
