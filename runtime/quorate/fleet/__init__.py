"""Which models live, where and on what: loading, unloading, their users, and their cores."""
