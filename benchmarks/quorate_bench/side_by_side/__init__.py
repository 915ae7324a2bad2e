"""Programs and plans that answer in turn, round by round, and what is recorded of each."""
