"""Between protobuf and domain values: pure functions, no I/O, no models."""
