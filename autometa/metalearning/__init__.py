"""From tables to records, from records to searches and weights; no fit imports it."""
