"""Read any table into typed columns, and encode it for learners; describe a task by meta-features."""
