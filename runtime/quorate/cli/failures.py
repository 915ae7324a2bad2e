"""From an exception to what standard error gets, and the exit code it ends with."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from typer.exceptions import TyperException

from quorate.amounts import span_text
from quorate.errors import InvalidRequest, QuorateError, SettingsError
from quorate.foreign_text import one_line

FAILED = 1
USAGE = 2
INTERRUPTED = 130

_SETTINGS_CODE = "INVALID_ARGUMENT"
# Of errors of the registry, by their class; the others find the world in the wrong state.
_REGISTRY_CODES: Mapping[str, str] = MappingProxyType(
    {
        "UnknownModel": "NOT_FOUND",
        "DownloadFailed": "UNAVAILABLE",
        "Interrupted": "UNAVAILABLE",
        "NotEnoughSpace": "RESOURCE_EXHAUSTED",
    }
)
_REMEDIES: Mapping[int, tuple[str, str]] = MappingProxyType(
    {
        errno.ENOSPC: ("no space is left", "free some, or name another place"),
        errno.EDQUOT: ("the quota is used up", "free some space, or name another place"),
        errno.EROFS: ("it is read-only", "name another place"),
        errno.EACCES: ("permission is denied", "change its permissions, or name another place"),
        errno.EPERM: ("permission is denied", "change its permissions, or name another place"),
        errno.ENOENT: ("it is not there", "make its folder, or name another place"),
        errno.ENOTDIR: ("what should be its folder is none", "name another place"),
        errno.EISDIR: ("it is a folder", "name a file"),
    }
)


class Interrupted(Exception):
    """Somebody ended a command, and there is something to say of it."""


class Refused(SettingsError):
    """A configuration with which nothing can be done; says everything that is wrong at once.

    Args:
        problems: Key and problem of each.
        file: Where they stand; "" for what the command line says.
    """

    def __init__(self, problems: Sequence[tuple[str, str]], file: str) -> None:
        self.problems = tuple(problems)
        place = f"{file}: " if file else ""
        self.lines = [
            place + (f"{key}: {problem}" if key else problem) for key, problem in problems
        ]
        super().__init__("; ".join(self.lines))


@dataclass(frozen=True, slots=True)
class Failure:
    """How a command ends that did not succeed.

    Attributes:
        text: What standard error gets.
        code: The status as gRPC names it.
        reason: For programs, such as ``PROMPT_TOO_LONG``.
        message: What is wrong, in one line.
        violations: Field and problem of everything that is wrong.
        retry_after_seconds: When another try has a chance, or None.
    """

    text: str
    exit_code: int
    code: str = "INTERNAL"
    reason: str = "INTERNAL"
    message: str = ""
    violations: tuple[tuple[str, str], ...] = ()
    retry_after_seconds: float | None = None

    @property
    def json(self) -> str:
        """The same for programs, in one line."""
        violations = [{"field": field, "message": text} for field, text in self.violations]
        error = {
            "code": self.code,
            "reason": self.reason,
            "message": self.message or self.text.removeprefix("quorate: "),
            "field": self.violations[0][0] if self.violations else None,
            "violations": violations,
            "retry_after_seconds": self.retry_after_seconds,
        }
        return json.dumps({"error": error})


def failure_of(error: Exception) -> Failure:
    """Tells how a command ends that raised ``error``."""
    if isinstance(error, TyperException):
        return _usage(error)
    if isinstance(error, Interrupted):
        return Failure(_line(error), INTERRUPTED, "CANCELLED", "INTERRUPTED")
    if isinstance(error, QuorateError):
        return _of_ours(error)
    if _is_registry_error(error):
        kind = type(error).__name__
        return Failure(
            _line(error),
            FAILED,
            _REGISTRY_CODES.get(kind, "FAILED_PRECONDITION"),
            re.sub(r"(?<!^)(?=[A-Z])", "_", kind).upper(),
        )
    if isinstance(error, OSError) and error.errno in _REMEDIES:
        return Failure(_of_the_system(error), FAILED, "FAILED_PRECONDITION", "FILE_UNUSABLE")
    if isinstance(error, ModuleNotFoundError) and _is_of_others(error.name):
        told = (
            f"quorate: {error.name} is not installed, which only asking a server with --target can "
            "do without; for all else: pip install 'quorate[server]'"
        )
        return Failure(told, FAILED, "FAILED_PRECONDITION", "NOT_INSTALLED")
    line = _line(error, type(error).__name__)
    return Failure(f"{line}; set QUORATE_DEBUG=1 for the traceback", FAILED)


def _of_ours(error: QuorateError) -> Failure:
    retry: float | None = getattr(error, "retry_after_seconds", None)
    code, violations = _code_of(error), _violations_of(error)
    text = "\n".join(f"quorate: {one_line(line)}" for line in getattr(error, "lines", ()))
    text = text or _line(error)
    if code == "RESOURCE_EXHAUSTED":
        text += _retry(retry)
    return Failure(
        text,
        USAGE if isinstance(error, SettingsError) else FAILED,
        code,
        error.reason,
        one_line(" ".join(error.message.split())),
        violations,
        retry,
    )


def _code_of(error: QuorateError) -> str:
    if isinstance(error, SettingsError):
        return _SETTINGS_CODE
    status = getattr(error, "status", "")
    if isinstance(status, str) and status:
        return status
    from quorate.api.grpc.errors import status_code

    return status_code(error).name


def _violations_of(error: QuorateError) -> tuple[tuple[str, str], ...]:
    if isinstance(error, Refused):
        return error.problems
    if isinstance(error, InvalidRequest):
        return tuple((one.field, one.problem) for one in (error, *error.also))
    # Of other errors they are models and windows, which the message names.
    is_about_fields = getattr(error, "status", "") == "INVALID_ARGUMENT"
    return tuple(getattr(error, "violations", ())) if is_about_fields else ()


def _usage(error: TyperException) -> Failure:
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        return Failure(error.format_message(), error.exit_code, _SETTINGS_CODE, "USAGE")
    message = error.format_message().rstrip(".")
    command = context.command_path if context is not None else "quorate"
    line = one_line(" ".join(f"quorate: {message}; see: {command} --help".split()))
    return Failure(line, error.exit_code, _SETTINGS_CODE, "USAGE")


def _of_the_system(error: OSError) -> str:
    """What the system has against a file, where, and what to do."""
    assert error.errno is not None
    problem, remedy = _REMEDIES[error.errno]
    if error.filename is None:
        return f"quorate: {problem} where the output goes"
    return one_line(f"quorate: {Path(str(error.filename))}: cannot be used: {problem}; {remedy}")


def _is_of_others(module: str | None) -> bool:
    return bool(module) and not str(module).startswith("quorate")


def _is_registry_error(error: Exception) -> bool:
    from quorate_registry import RegistryError

    return isinstance(error, RegistryError)


def _retry(seconds: float | None) -> str:
    """When a spent budget or a full server has a place again, as far as the server told."""
    return "" if seconds is None else f"; try again in {span_text(seconds)}"


def _line(error: Exception, kind: str = "") -> str:
    """The message of an error on one line, whatever it came from."""
    parts = ("quorate", kind, one_line(" ".join(str(error).split())))
    return ": ".join(part for part in parts if part)
