"""What autometa has learnt from: records of past tasks, and how they are made."""
