"""Who may call: keys of callers, of which only hashes are kept."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quorate.errors import PermissionDenied, SettingsError, Unauthenticated
from quorate.options import Faults, option, read_options

GENERATE = "generate"
MODELS = "models"
ACCOUNTING = "accounting"
RIGHTS = (GENERATE, MODELS, ACCOUNTING)

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class KeySettings:
    """A caller's key.

    Attributes:
        token_env: Environment variable that holds the token; it is hashed when it is read.
        sha256: The token's SHA-256 in hexadecimal, where no variable holds it.
        rights: What its holder may do: ``generate`` to ask for text, scores and decisions,
            ``models`` to load and unload, ``accounting`` to see what others spent. Everybody sees
            the models and what they spent themselves.
        weight: How much it gets of what is short, against other keys.
        max_requests: Most requests of its holder at once, those that wait included; 0 is any.
        requests_per_minute: Most requests of its holder in a minute, on average; 0 is any.
        tokens_per_minute: Most tokens of prompts and answers in a minute, on average; 0 is any.
    """

    token_env: str = ""
    sha256: str = ""
    rights: tuple[str, ...] = option((GENERATE,), texts=True)
    weight: float = option(1.0, lowest=0.001, highest=1000)
    max_requests: int = option(0, lowest=0, highest=1_000_000)
    requests_per_minute: float = option(0.0, lowest=0, highest=1e9)
    tokens_per_minute: float = option(0.0, lowest=0, highest=1e12)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], where: str) -> KeySettings:
        """Reads a key as it stands in a configuration file.

        Raises:
            SettingsError: An unknown name, a hash that is none, an unknown right, or not exactly
                one of variable and hash.
        """
        return read_options(cls, mapping, where, lambda key: key.check(where))

    def check(self, where: str) -> None:
        """Checks what a single value cannot show; raises as ``from_mapping``."""
        faults = Faults()
        if bool(self.token_env) == bool(self.sha256):
            faults.add(SettingsError(f"{where}: give token_env or sha256, one of them"))
        if self.sha256 and not _SHA256.fullmatch(self.sha256):
            problem = "must be 64 hexadecimal digits, in lower case"
            faults.add(SettingsError(f"{where}.sha256: {problem}"))
        for index, right in enumerate(self.rights):
            if right not in RIGHTS:
                problem = f"must be one of {', '.join(RIGHTS)}, not {right!r}"
                faults.add(SettingsError(f"{where}.rights[{index}]: {problem}"))
        faults.refuse()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a call.

    Attributes:
        key: Name of the key, "" where the server has none.
        rights: What the caller may do.
        max_requests: Most requests at once; 0 is any.
    """

    key: str = ""
    rights: frozenset[str] = frozenset(RIGHTS)
    max_requests: int = 0

    def require(self, right: str) -> None:
        """Refuses what the caller may not do.

        Raises:
            PermissionDenied: The right is missing.
        """
        if right not in self.rights:
            raise PermissionDenied(f"key {self.key} does not have the right {right!r}")

    @property
    def sees_everybody(self) -> bool:
        """Whether the caller may see what others spent, and so what all of the machine did."""
        return ACCOUNTING in self.rights

    def visible_key(self, asked: str | None) -> str | None:
        """Name of the key whose spending is asked for and may be seen; None for everybody's.

        Args:
            asked: Name of a key; None asks for all that the caller may see.

        Raises:
            PermissionDenied: It is another's, and the right to see that is missing.
        """
        if asked is None:
            return None if self.sees_everybody else self.key
        if asked != self.key:
            self.require(ACCOUNTING)
        return asked


class KeyRing:
    """The keys of a server. Tokens are kept as hashes, and compared in constant time.

    Args:
        keys: Keys by name; without any, everybody may do everything.

    Raises:
        SettingsError: An environment variable that is not set, or two keys with one token.
    """

    def __init__(
        self, keys: Mapping[str, KeySettings], environment: Mapping[str, str] = os.environ
    ) -> None:
        self._callers: dict[bytes, Caller] = {}
        for name, key in keys.items():
            digest = _digest_of(name, key, environment)
            if digest in self._callers:
                other = self._callers[digest].key
                raise SettingsError(f"keys.{name}: has the same token as keys.{other}")
            self._callers[digest] = Caller(name, frozenset(key.rights), key.max_requests)

    @property
    def wanted(self) -> bool:
        """Whether callers need a key."""
        return bool(self._callers)

    def replace(self, other: KeyRing) -> None:
        """Takes the keys of another ring in place of its own, from the next call on."""
        self._callers = other._callers

    def caller(self, authorization: str | None) -> Caller:
        """Who makes a call.

        Args:
            authorization: The call's ``authorization`` header, ``Bearer TOKEN``, if it has one.

        Raises:
            Unauthenticated: There are keys, and this is none of them.
        """
        if not self._callers:
            return Caller()
        if not authorization:
            told = (
                "send it as `authorization: Bearer …`; quorate's commands take it of QUORATE_TOKEN"
            )
            raise Unauthenticated(f"this server wants a token; {told}")
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("the authorization must be `Bearer TOKEN`")
        digest = hashlib.sha256(token.strip().encode()).digest()
        for known, caller in self._callers.items():
            if hmac.compare_digest(known, digest):
                return caller
        raise Unauthenticated("nobody has this token")


def _digest_of(name: str, key: KeySettings, environment: Mapping[str, str]) -> bytes:
    if key.sha256:
        return bytes.fromhex(key.sha256)
    token = environment.get(key.token_env, "").strip()
    if not token:
        raise SettingsError(
            f"keys.{name}.token_env: the environment variable {key.token_env} is not set"
        )
    return hashlib.sha256(token.encode()).digest()
