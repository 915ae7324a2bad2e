"""The service that a command asks: a server that runs, or one of the command's own.

Nothing of the server is imported for one that runs: the client package has none of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from quorate.cli.notes import note
from quorate.cli.target import Target, answers_at, connect
from quorate.client import DEFAULT_TARGET, Client


def asked_service(names: Sequence[str], target: Target) -> AbstractAsyncContextManager[Client]:
    """The service that a command was told to ask, or one of its own.

    That has the members as they were named, or without any names the demo models.

    Raises:
        SettingsError: No address, a token that cannot be sent there, or models that cannot be
            served together.
        CannotRun: The demo models are missing.
    """
    if target.address:
        return connect(target.address, target)
    from quorate.cli.services import demo_settings, named_settings, own_service

    if answers_at(DEFAULT_TARGET):
        told = (
            f"quorate: loading models here; to ask the server at {DEFAULT_TARGET} instead: "
            f"--target {DEFAULT_TARGET}, or QUORATE_TARGET"
        )
        note(told)
    return own_service(named_settings(names) if names else demo_settings())
