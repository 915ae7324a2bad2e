"""From an exception to the line and the exit code it ends with."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from typer.exceptions import TyperException

from quorate.errors import QuorateError, SettingsError
from quorate.foreign_text import one_line

FAILED = 1
USAGE = 2
INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Failure:
    """How a command ends that did not succeed.

    Attributes:
        text: What stderr gets.
    """

    text: str
    exit_code: int


def failure_of(error: Exception) -> Failure:
    """Tells how a command ends that raised ``error``."""
    if isinstance(error, TyperException):
        return _usage(error)
    if isinstance(error, SettingsError):
        return Failure(_line(error), USAGE)
    if getattr(error, "status", "") == "RESOURCE_EXHAUSTED":
        return Failure(_line(error) + _retry(error), FAILED)
    if isinstance(error, QuorateError) or _is_registry_error(error):
        return Failure(_line(error), FAILED)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return Failure("quorate: no space is left where the output goes", FAILED)
    if isinstance(error, ModuleNotFoundError) and _is_of_others(error.name):
        return Failure(
            f"quorate: {error.name} is not installed, which only asking a server with --target can "
            "do without; for all else: pip install 'quorate[server]'",
            FAILED,
        )
    line = _line(error, type(error).__name__)
    return Failure(f"{line}; set QUORATE_DEBUG=1 for the traceback", FAILED)


def _usage(error: TyperException) -> Failure:
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        return Failure(error.format_message(), error.exit_code)
    message = error.format_message().rstrip(".")
    command = context.command_path if context is not None else "quorate"
    line = one_line(" ".join(f"quorate: {message}; see: {command} --help".split()))
    return Failure(line, error.exit_code)


def _is_of_others(module: str | None) -> bool:
    return bool(module) and not str(module).startswith("quorate")


def _is_registry_error(error: Exception) -> bool:
    from quorate_registry import RegistryError

    return isinstance(error, RegistryError)


def _retry(error: Exception) -> str:
    """When a spent budget or a full server has a place again, as far as the server told."""
    from quorate.cli.views.formatting import span_text

    seconds = getattr(error, "retry_after_seconds", None)
    return "" if seconds is None else f"; try again in {span_text(seconds)}"


def _line(error: Exception, kind: str = "") -> str:
    """The message of an error on one line, whatever it came from."""
    parts = ("quorate", kind, one_line(" ".join(str(error).split())))
    return ": ".join(part for part in parts if part)
