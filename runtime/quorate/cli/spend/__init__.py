"""The command ``spend``."""
