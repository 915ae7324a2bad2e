"""What ends a conversion or a verification with one line."""

from __future__ import annotations


class Refused(Exception):
    """A file, a folder or a request that cannot be served; the text is for the user."""
