"""What could be set better for a machine: a search by measurements, and a proposal."""
