"""How the time of a step grows: with members, answers at once, vocabulary and context."""
