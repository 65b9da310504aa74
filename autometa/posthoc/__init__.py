"""What is learnt from out-of-fold predictions after a search: temperature, threshold, intervals."""
