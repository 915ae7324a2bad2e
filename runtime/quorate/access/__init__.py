"""What every API needs, below them all: keys and rights, limits of fields, request records."""
