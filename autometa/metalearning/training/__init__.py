"""From records to weights and starts."""
