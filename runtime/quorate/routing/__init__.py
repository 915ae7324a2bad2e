"""Which plan answers a request: pure decisions. No clock, no I/O, no logging."""
