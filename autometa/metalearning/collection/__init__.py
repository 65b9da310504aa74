"""From tables to records."""
