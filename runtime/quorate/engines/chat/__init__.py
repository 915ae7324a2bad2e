"""Chats as tokens: a model's own template, what it can do, and its special tokens."""
