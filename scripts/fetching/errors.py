"""What ends a fetch with one line."""

from __future__ import annotations


class FetchFailed(Exception):
    """Something cannot be had, or is not what was pinned; the text is for the user."""
