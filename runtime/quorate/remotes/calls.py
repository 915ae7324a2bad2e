"""Calls of a remote API through the ``openai`` client, and its errors in one line each.

Importing this needs that package. Foreign errors become failures here and go no further.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from http import HTTPStatus
from typing import Any

import httpx2
import openai

from quorate.remotes.failures import (
    CallFailed,
    Failure,
    FailureKind,
    broken,
    excerpt,
    retry_after_seconds,
)
from quorate.remotes.settings import ApiKey, RemoteSettings, host_and_port
from quorate.remotes.transport import Astray, Encoded, GuardedTransport, Oversized

_STREAM_TYPE = "text/event-stream"
_RETRIED_STATUSES = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT)
_SPENT_CODES = ("insufficient_quota", "billing_hard_limit_reached")


class Calls:
    """The HTTP side of one remote: a call is a stream of JSON values, a fault a ``CallFailed``.

    Bodies and events go through the client untyped (its ``post``): the typed methods build their
    chunks without validation, so that every field would have to be distrusted all the same.

    Args:
        settings: Already checked.
        wall_clock: Seconds since the epoch.
    """

    def __init__(
        self, settings: RemoteSettings, key: ApiKey | None, wall_clock: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._key = key
        self._wall_clock = wall_clock
        self._client = openai.AsyncOpenAI(
            base_url=settings.base_url,
            # The transport alone knows the key; the client would show it in its requests.
            api_key="unused",
            max_retries=0,
            http_client=httpx2.AsyncClient(
                transport=GuardedTransport(settings.base_url, key),
                timeout=httpx2.Timeout(
                    settings.read_timeout_seconds, connect=settings.connect_timeout_seconds
                ),
                follow_redirects=False,
                trust_env=False,
            ),
        )

    async def events(
        self, path: str, body: Mapping[str, Any], private: tuple[str, ...]
    ) -> AsyncGenerator[object, None]:
        """Sends a call and gives the JSON value of each event until ``[DONE]``.

        Closing the generator, or cancelling it, closes the connection. No message repeats any of
        the ``private`` texts.

        Raises:
            CallFailed: Anything that is not a stream of JSON events to its end.
        """
        stream: openai.AsyncStream[object] | None = None
        try:
            stream = await self._client.post(
                path, cast_to=object, body=body, stream=True, stream_cls=openai.AsyncStream[object]
            )
            _check_type(stream.response.headers.get("content-type"))
            async for event in stream:
                yield event
        except openai.OpenAIError as error:
            key = self._key.reveal() if self._key else ""
            translation = Translation(self._settings, private, key, self._wall_clock())
            raise CallFailed(translation.of(error)) from None
        except (ValueError, RecursionError):
            # json and UTF-8 decoding raise ValueError; nesting beyond reason, RecursionError.
            raise broken("sent an event that is not JSON") from None
        finally:
            if stream is not None:
                await stream.close()

    async def close(self) -> None:
        """Closes all connections."""
        await self._client.close()


def _check_type(content_type: str | None) -> None:
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind == _STREAM_TYPE:
        return
    plain = kind if kind.isascii() and kind.isprintable() and 0 < len(kind) <= 64 else "something"
    raise broken(f"answered with {plain} instead of an event stream; is base_url right?")


class Translation:
    """Reads the errors of one call.

    Args:
        settings: The remote's, for the addresses and limits that a message names.
        private: Texts that no message may repeat.
        key: The key, which no message may repeat either; "" for none.
        now: Seconds since the epoch, for a ``Retry-After`` that is a date.
    """

    def __init__(
        self, settings: RemoteSettings, private: tuple[str, ...], key: str, now: float
    ) -> None:
        self._settings = settings
        self._private = private
        self._key = key
        self._now = now

    def of(self, error: openai.OpenAIError) -> Failure:
        """Reads an error of the client."""
        if isinstance(error, openai.APIStatusError):
            return self._of_status(error)
        if isinstance(error, openai.APIConnectionError):
            return self._of_connection(error)
        if isinstance(error, openai.APIError):
            return self._of_event(error)
        return Failure(FailureKind.TRANSIENT, f"the client failed: {type(error).__name__}")

    def _of_status(self, error: openai.APIStatusError) -> Failure:
        status, headers = error.status_code, error.response.headers
        if 300 <= status < 400:
            return Failure(
                FailureKind.MISCONFIGURED,
                f"redirects elsewhere (HTTP {status}), which is refused; set base_url to where "
                "the API is",
            )
        after = retry_after_seconds(headers.get("retry-after"), self._now)
        return self._classified(status, _detail(error.body), after)

    def _of_event(self, error: openai.APIError) -> Failure:
        """An error that came as an event, after the remote had begun with HTTP 200."""
        detail = _detail(error.body)
        code = str(detail.get("code"))
        if len(code) == 3 and code.isascii() and code.isdigit() and 400 <= int(code) < 600:
            return self._classified(int(code), detail, None)
        return Failure(FailureKind.TRANSIENT, self._line("sent an error in its stream", detail))

    def _classified(
        self, status: int, detail: Mapping[str, object], after: float | None
    ) -> Failure:
        line = self._line(_title(status), detail)
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return Failure(FailureKind.MISCONFIGURED, f"{_title(status)}; {self._key_advice()}")
        if status == HTTPStatus.PAYMENT_REQUIRED or detail.get("code") in _SPENT_CODES:
            return Failure(FailureKind.QUOTA, line, retry_after_seconds=after)
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            return Failure(FailureKind.QUOTA, line, True, after)
        if status >= 500 or status in _RETRIED_STATUSES:
            return Failure(FailureKind.TRANSIENT, line, True, after)
        return Failure(FailureKind.REFUSED, line)

    def _of_connection(self, error: openai.APIConnectionError) -> Failure:
        cause = error.__cause__
        if isinstance(cause, Oversized | Encoded):
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

    def _why(self, cause: BaseException | None) -> str:
        if isinstance(cause, httpx2.ConnectTimeout):
            return f"no answer within {self._settings.connect_timeout_seconds:g} s"
        said = excerpt(str(cause), self._private, self._key) if cause is not None else ""
        return said or type(cause).__name__

    def _line(self, title: str, detail: Mapping[str, object]) -> str:
        words = (
            excerpt(detail.get(name), self._private, self._key) for name in ("code", "message")
        )
        said = ": ".join(word for word in words if word)
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
    """The error of a body: OpenAI wraps it in ``error``, others do not."""
    if not isinstance(body, Mapping):
        return {}
    inner = body.get("error", body)
    return inner if isinstance(inner, Mapping) else {"message": inner}
