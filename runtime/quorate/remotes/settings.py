"""Settings of a remote, its address and its key, checked before anything is sent anywhere."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from quorate.errors import SettingsError
from quorate.options import Faults, is_loopback, option, read_options

MAX_TOKENS_FIELDS = ("max_tokens", "max_completion_tokens")

_DAY_SECONDS = 86400


@dataclass(frozen=True, slots=True)
class _Measures:
    """Types and ranges of what may be left out; the defaults settle the types and are not used."""

    input_usd_per_mtok: float = option(0.0, lowest=0, highest=1e6)
    output_usd_per_mtok: float = option(0.0, lowest=0, highest=1e6)
    context_length: int = option(1, lowest=1, highest=2**30)
    quality: float = option(0.0, lowest=0, highest=1)
    time_to_first_token_ms: float = option(1.0, lowest=0.001, highest=1e9)
    tokens_per_second: float = option(1.0, lowest=0.001, highest=1e9)
    first_event_timeout_seconds: float = option(1.0, lowest=0.001, highest=_DAY_SECONDS)
    progress_timeout_seconds: float = option(1.0, lowest=0.001, highest=_DAY_SECONDS)


@dataclass(frozen=True, slots=True)
class RemoteSettings:
    """One ``[remotes.NAME]`` table. What is None was not given: it is unknown, not 0.

    Attributes:
        base_url: Where the API begins, such as ``https://api.example.com/v1``. Nothing is sent to
            any other address: redirects are refused and proxies of the environment not followed.
        model: The model's name at the remote.
        api_key_env: Name of the environment variable that holds the key; "" sends no key.
        provider: Provider id of ``genai-prices``, or "" to find it by the address.
        tasks: Tags of the tasks it is good at.
        max_concurrent: Most requests at once; further ones are refused.
        connect_timeout_seconds: Longest time until a connection stands.
        read_timeout_seconds: Longest silence: before the first byte and between two.
        first_event_timeout_seconds: Longest time from connecting to the first event of an answer;
            by default the two timeouts above together.
        progress_timeout_seconds: Longest time between two pieces of an answer, whatever keeps the
            connection alive meanwhile; by default ``read_timeout_seconds``.
        min_tokens_per_second: Least speed of an answer, once ``progress_timeout_seconds`` have
            passed since its first event; 0 asks for none.
        end_grace_seconds: How long the count of tokens is waited for once the remote has said why
            its answer ended.
        max_retries: Tries after the first one, all before the first text.
        max_tokens_field: Which field limits a chat's answer. Reasoning models of OpenAI know only
            ``max_completion_tokens``, many other servers only ``max_tokens``.
        max_stop_strings: Most stop strings that it takes; OpenAI takes four.
        text_prompts: Whether it has the older completions endpoint, which text prompts need.
        stream_usage: Whether it is asked to count the tokens; some servers refuse the question.
        insecure: Allows plain HTTP to an address other than loopback.
        input_usd_per_mtok: Dollars for a million prompt tokens, instead of the price list; 0 is
            free.
        output_usd_per_mtok: Dollars for a million generated tokens; given with the other or not
            at all.
        context_length: Most tokens of prompt and answer.
        quality: Expected quality of an answer, from 0 to 1.
        time_to_first_token_ms: Expected time to the first token.
        tokens_per_second: Expected speed after it.
    """

    base_url: str = ""
    model: str = ""
    api_key_env: str = ""
    provider: str = ""
    tasks: tuple[str, ...] = option((), texts=True)
    max_concurrent: int = option(8, lowest=1, highest=10_000)
    connect_timeout_seconds: float = option(5.0, lowest=0.001, highest=_DAY_SECONDS)
    read_timeout_seconds: float = option(60.0, lowest=0.001, highest=_DAY_SECONDS)
    first_event_timeout_seconds: float | None = None
    progress_timeout_seconds: float | None = None
    min_tokens_per_second: float = option(0.1, lowest=0, highest=1000)
    end_grace_seconds: float = option(1.0, lowest=0, highest=60)
    max_retries: int = option(2, lowest=0, highest=20)
    max_tokens_field: str = option(MAX_TOKENS_FIELDS[0], choices=MAX_TOKENS_FIELDS)
    max_stop_strings: int = option(4, lowest=0, highest=1000)
    text_prompts: bool = False
    stream_usage: bool = True
    insecure: bool = False
    input_usd_per_mtok: float | None = None
    output_usd_per_mtok: float | None = None
    context_length: int | None = None
    quality: float | None = None
    time_to_first_token_ms: float | None = None
    tokens_per_second: float | None = None

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], where: str) -> RemoteSettings:
        """Reads settings as they stand in a configuration file; see ``read_options``.

        Raises:
            SettingsError: An unknown name, a wrong type, a value out of range, half of a price, no
                address or model, or an address without TLS that is not loopback.
        """
        faults = Faults()
        optional = {field.name for field in dataclasses.fields(_Measures)}
        given = {name: value for name, value in mapping.items() if name in optional}
        measures = faults.check(lambda: read_options(_Measures, given, where), _Measures())
        known = {name: getattr(measures, name) for name in given}
        rest = {name: value for name, value in mapping.items() if name not in optional}

        def check(settings: RemoteSettings) -> None:
            dataclasses.replace(settings, **known).check(where)

        settings = faults.check(lambda: read_options(cls, rest, where, check), cls())
        faults.refuse()
        return dataclasses.replace(settings, **known)

    def check(self, where: str) -> None:
        """Checks what a single value cannot show; settings made by hand need it before use.

        Raises:
            SettingsError: As ``from_mapping``.
        """
        faults = Faults()
        for name in ("base_url", "model"):
            if not getattr(self, name):
                faults.add(SettingsError(f"{where}.{name}: is missing; a remote needs it"))
        url = f"{where}.base_url"
        faults.check(lambda: check_base_url(self.base_url, url, self.insecure), None)
        if (self.input_usd_per_mtok is None) != (self.output_usd_per_mtok is None):
            missing = "input" if self.input_usd_per_mtok is None else "output"
            problem = "prices need both input and output; 0 is free"
            faults.add(SettingsError(f"{where}.{missing}_usd_per_mtok: {problem}"))
        faults.refuse()


def check_base_url(url: str, key: str, insecure: bool) -> None:
    """Checks an address that requests will be sent to, named ``key`` in messages.

    Raises:
        SettingsError: Not an HTTP address, one that carries credentials, a query or a fragment, or
            plain HTTP to a host other than loopback. The message does not repeat the address
            where it may hold a secret.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise SettingsError(f"{key}: is not an address") from None
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise SettingsError(f"{key}: must be http://HOST/PATH or https://HOST/PATH")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise SettingsError(f"{key}: has characters that no address has")
    if parts.username is not None or parts.password is not None:
        raise SettingsError(f"{key}: must hold no credentials; name their variable in api_key_env")
    if parts.query or parts.fragment:
        raise SettingsError(f"{key}: must end with the path, without ? or #")
    if parts.scheme == "http" and not insecure and not is_loopback(host):
        raise SettingsError(
            f"{key}: {host} would be spoken to without TLS; use https, or say insecure"
        )


def host_and_port(url: str) -> str:
    """``HOST:PORT`` of an address that was checked, for messages."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{host}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


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
    """Reads a key from an environment variable; "" means that the remote takes none.

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
