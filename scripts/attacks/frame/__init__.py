"""What runs the cases: the server, the neighbour, the attacker's process, the report."""
