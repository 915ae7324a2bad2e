"""Errors of a call, from the client, the transport or the remote, as failures of one line each.

Importing this needs the ``openai`` package.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus

import httpx2
import openai

from quorate.remotes.failures import (
    Failure,
    FailureKind,
    excerpt,
    is_about_the_model,
    kind_of_words,
    retry_after_seconds,
)
from quorate.remotes.settings import RemoteSettings, host_and_port
from quorate.remotes.transport import Astray, Encoded

_RETRIED_STATUSES = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT)
# Said by whoever stands before the remote, which may work on and charge for it.
_TIMED_OUT_STATUSES = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.GATEWAY_TIMEOUT, 524)
_SPENT_CODES = ("insufficient_quota", "billing_hard_limit_reached")
_MESSAGES = ("message", "detail", "msg")


class Translation:
    """Reads the errors of one call.

    Args:
        settings: The remote's, for the addresses and limits that a message names.
        private: Texts that no message may repeat.
        key: The key, which no message may repeat either; "" for none.
        wall_clock: Seconds since the epoch, for a ``Retry-After`` that is a date.
    """

    def __init__(
        self,
        settings: RemoteSettings,
        private: tuple[str, ...],
        key: str,
        wall_clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._private = private
        self._key = key
        self._wall_clock = wall_clock

    def of(self, error: openai.OpenAIError) -> Failure:
        """Reads an error of the client."""
        if isinstance(error, openai.APIStatusError):
            return self._of_status(error)
        if isinstance(error, openai.APIConnectionError):
            return self.of_connection(error.__cause__)
        return Failure(FailureKind.TRANSIENT, f"the client failed: {type(error).__name__}")

    def of_value(self, error: object, *, whole: bool) -> Failure:
        """Reads an error that came in an event, or as the whole answer, of HTTP status 200."""
        detail = _detail({"error": error})
        words = (detail.get("code"), detail.get("type"), detail.get("status"))
        code = str(detail.get("code"))
        if len(code) == 3 and code.isascii() and code.isdigit() and 400 <= int(code) < 600:
            return self._classified(int(code), detail, None)
        kind, retryable = kind_of_words(words, detail.get("message"))
        title = "answered HTTP 200 with an error" if whole else "sent an error in its stream"
        return Failure(kind, self._line(title, detail), retryable, free=True)

    def of_connection(self, cause: BaseException | None) -> Failure:
        """Reads what the transport raised."""
        if isinstance(cause, Encoded):
            return Failure(FailureKind.TRANSIENT, f"sent {cause}")
        if isinstance(cause, Astray):
            return Failure(FailureKind.MISCONFIGURED, f"nothing is sent to {cause}")
        if isinstance(cause, httpx2.ReadTimeout):
            limit = self._settings.read_timeout_seconds
            return Failure(FailureKind.TRANSIENT, f"sent nothing for {limit:g} s", True)
        if isinstance(cause, httpx2.ConnectTimeout | httpx2.ConnectError):
            host = host_and_port(self._settings.base_url)
            return Failure(
                FailureKind.TRANSIENT, f"cannot connect to {host}: {self._why(cause)}", True
            )
        return Failure(FailureKind.TRANSIENT, f"the connection broke off: {self._why(cause)}", True)

    def _of_status(self, error: openai.APIStatusError) -> Failure:
        status, headers = error.status_code, error.response.headers
        if 300 <= status < 400:
            return Failure(
                FailureKind.MISCONFIGURED,
                f"redirects elsewhere (HTTP {status}), which is refused; set base_url to where "
                "the API is",
                free=True,
            )
        after = retry_after_seconds(headers.get("retry-after"), self._wall_clock())
        return self._classified(status, _detail(error.body), after)

    def _classified(
        self, status: int, detail: Mapping[str, object], after: float | None
    ) -> Failure:
        line = self._line(_title(status), detail)
        free = status not in _TIMED_OUT_STATUSES
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            line = f"{_title(status)}; {self._key_advice()}"
            return Failure(FailureKind.MISCONFIGURED, line, free=True)
        if status == HTTPStatus.PAYMENT_REQUIRED or detail.get("code") in _SPENT_CODES:
            return Failure(FailureKind.QUOTA, line, retry_after_seconds=after, free=True)
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            return Failure(FailureKind.QUOTA, line, True, after, free=True)
        if status >= 500 or status in _RETRIED_STATUSES:
            return Failure(FailureKind.TRANSIENT, line, True, after, free)
        words, said = (detail.get("code"), detail.get("type")), detail.get("message")
        if status == HTTPStatus.NOT_FOUND and is_about_the_model(words, said):
            return Failure(FailureKind.MISCONFIGURED, line, free=True)
        kind, _ = kind_of_words(words, None)
        if kind is not FailureKind.MISCONFIGURED:
            kind = FailureKind.REFUSED
        return Failure(kind, line, free=True)

    def _why(self, cause: BaseException | None) -> str:
        if isinstance(cause, httpx2.ConnectTimeout):
            return f"no answer within {self._settings.connect_timeout_seconds:g} s"
        said = excerpt(str(cause), self._private, self._key) if cause is not None else ""
        return said or type(cause).__name__

    def _line(self, title: str, detail: Mapping[str, object]) -> str:
        words = (
            excerpt(detail.get(name), self._private, self._key) for name in ("code", "message")
        )
        # Many say no more than the status does.
        said = ": ".join(word for word in words if word and not title.endswith(word))
        return f"{title}: {said}" if said else title

    def _key_advice(self) -> str:
        variable = self._settings.api_key_env
        return f"check the key in {variable}" if variable else "it wants a key; set api_key_env"


def _title(status: int) -> str:
    try:
        return f"answered HTTP {status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"answered HTTP {status}"


def _detail(body: object) -> Mapping[str, object]:
    """The error of a body: OpenAI wraps it in ``error``, others do not, or name it otherwise."""
    if not isinstance(body, Mapping):
        return {}
    inner = body.get("error", body)
    if not isinstance(inner, Mapping):
        return {"message": inner}
    said = next((inner[name] for name in _MESSAGES if isinstance(inner.get(name), str)), None)
    return {**inner, "message": said}
