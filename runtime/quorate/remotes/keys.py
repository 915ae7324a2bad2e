"""The key of a remote: read once at the start, shown to nobody."""

from __future__ import annotations

from collections.abc import Mapping

from quorate.errors import SettingsError


class ApiKey:
    """A secret that does not show itself when printed, logged or formatted."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The key itself."""
        return self._value

    def __repr__(self) -> str:
        return "ApiKey(hidden)"


def read_key(variable: str, environ: Mapping[str, str], where: str) -> ApiKey | None:
    """Reads a key from the environment.

    Args:
        variable: Name of the environment variable; "" means that the remote takes no key.
        environ: The environment.
        where: Where the remote stands, for messages, such as ``remotes.big``.

    Raises:
        SettingsError: The variable is missing or empty, or holds what no HTTP header can.
    """
    if not variable:
        return None
    value = environ.get(variable, "")
    if not value:
        raise SettingsError(
            f"{where}.api_key_env: the environment variable {variable} is not set; set it to the "
            "key of this remote"
        )
    if not value.isascii() or not value.isprintable() or " " in value:
        raise SettingsError(
            f"{where}.api_key_env: the environment variable {variable} holds characters that no "
            "key has, such as a space or a line break"
        )
    return ApiKey(value)
