"""What labelled answers teach: quality, confidence, weights, thresholds. Pure but for its file."""
