"""What a vote takes on this machine: time, energy and lengths, learned from the requests."""
