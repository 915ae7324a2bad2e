"""The command ``calibrate``."""
