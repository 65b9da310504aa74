"""From records to searches on a simulated clock."""
