"""What a request cost, put together from what its members report."""
