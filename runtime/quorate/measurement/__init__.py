"""What a request took on this machine: time now, energy where a meter exists."""
