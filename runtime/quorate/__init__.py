"""Quorate: a local-first ensemble runtime for self-hosted language models."""
