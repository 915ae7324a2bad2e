"""The composition root: the only room that puts concrete parts together."""
