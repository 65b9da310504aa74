"""Fixtures of small collections."""

from tests.helpers.collections import cheap, collected, in_calling_process, table_folder

__all__ = ["cheap", "collected", "in_calling_process", "table_folder"]
