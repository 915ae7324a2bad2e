"""Anthropic's path and bodies."""
