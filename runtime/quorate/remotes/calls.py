"""Calls of a remote API through the ``openai`` client, and its errors in one line each.

Importing this needs that package. Foreign errors become failures here and go no further.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, suppress
from functools import partial
from typing import Any

import httpx2
import openai

from quorate.large_texts import SLICE, as_json
from quorate.remotes.failures import CallFailed, Failure, FailureKind, broken
from quorate.remotes.settings import ApiKey, RemoteSettings
from quorate.remotes.sse import EventReader, EventTooLarge, ServerEvent
from quorate.remotes.traffic import Traffic
from quorate.remotes.translation import Translation
from quorate.remotes.transport import GuardedTransport, noted_in
from quorate.remotes.wire import Done
from quorate.threads import beside_loop

_STREAM_TYPE = "text/event-stream"
_WHOLE_TYPE = "application/json"
_LONGEST_EVENT_BYTES = 1024 * 1024
_LONGEST_STREAM_BYTES = 16 * 1024 * 1024
_MOST_NOISE_BYTES = 256 * 1024
_BYTES_AT_ONCE = 8 * 1024
# A server may wrap every character into some hundred bytes of JSON.
_MOST_BYTES_PER_TOKEN = 4096
# What ends the body comes with the last event; a connection that stays open is closed.
_DRAIN_SECONDS = 0.1
_ERROR_NAME = "error"


class Calls:
    """The HTTP side of one remote: a call is a stream of JSON values, a fault a ``CallFailed``.

    Bodies and answers go through the client untyped (its ``post``), and events are read here: its
    own reader takes no legal stream without data in every event, and has no limits.

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
        self, path: str, body: Mapping[str, Any], private: tuple[str, ...], traffic: Traffic
    ) -> AsyncGenerator[list[object], None]:
        """Sends a call and gives the JSON value of each event, and ``Done`` at ``[DONE]``.

        Events that arrived together are given together. Those without data, and named ones without
        JSON, are passed over. A remote that answers with a whole JSON value gives that as the only
        event. Closing the generator, or cancelling it, closes the connection. No message repeats
        any of the ``private`` texts.

        Raises:
            CallFailed: Anything that is neither, or too large, or says that it failed.
        """
        key = self._key.reveal() if self._key else ""
        translation = Translation(self._settings, private, key, self._wall_clock)
        is_large = sum(map(len, private)) > SLICE
        response: httpx2.Response | None = None

        async def read_of(make: Callable[[], Failure]) -> CallFailed:
            return CallFailed(await beside_loop(make) if is_large else make())

        try:
            content = await beside_loop(as_json, body) if is_large else as_json(body)
            with noted_in(traffic):
                stream = await self._client.post(
                    path,
                    cast_to=object,
                    content=content,
                    stream=True,
                    stream_cls=openai.AsyncStream[object],
                )
            response = stream.response
            read = _reader_of(response.headers.get("content-type"))
            async with (
                aclosing(_bounded(response, body, traffic)) as pieces,
                aclosing(read(pieces)) as events,
            ):
                async for together in events:
                    values, fault = _values(together, translation, whole=read is _whole)
                    if values and values[-1] is Done.DONE:
                        await _drain(pieces)
                    # What came before a fault was said all the same.
                    yield values
                    if fault is not None:
                        raise await read_of(fault)
        except openai.OpenAIError as error:
            raise await read_of(partial(translation.of, error)) from None
        except httpx2.HTTPError as error:
            raise await read_of(partial(translation.of_connection, error)) from None
        except EventTooLarge as error:
            raise broken(f"sent {error}") from None
        finally:
            if response is not None:
                await response.aclose()

    async def close(self) -> None:
        """Closes all connections."""
        await self._client.close()


async def _bounded(
    response: httpx2.Response, body: Mapping[str, Any], traffic: Traffic
) -> AsyncGenerator[bytes, None]:
    """The body, which no answer of the length that was asked for can exceed."""
    asked = max(body.get("max_tokens") or 0, body.get("max_completion_tokens") or 0)
    most = _LONGEST_STREAM_BYTES + _MOST_BYTES_PER_TOKEN * asked
    async for piece in response.aiter_bytes():
        traffic.received_bytes += len(piece)
        if traffic.received_bytes > most:
            raise EventTooLarge(f"more than {most} bytes for {asked} tokens")
        yield piece


async def _events(pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[list[ServerEvent], None]:
    reader = EventReader(_LONGEST_EVENT_BYTES, _MOST_NOISE_BYTES)
    async for piece in pieces:
        for start in range(0, len(piece), _BYTES_AT_ONCE):
            if start:
                # Others have their turn while a flood is read.
                await asyncio.sleep(0)
            if events := reader.feed(piece[start : start + _BYTES_AT_ONCE]):
                yield events
    if events := reader.finish():
        yield events


async def _whole(pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[list[ServerEvent], None]:
    """The answer of who was asked for a stream and does not stream, or an error."""
    data = bytearray()
    async for piece in pieces:
        data += piece
        if len(data) > _LONGEST_EVENT_BYTES:
            raise EventTooLarge(f"an answer of more than {_LONGEST_EVENT_BYTES} bytes in one piece")
    yield [ServerEvent("", bytes(data)), ServerEvent("", Done.DONE.value.encode())]


async def _drain(pieces: AsyncGenerator[bytes, None]) -> None:
    """Reads to the end of the body, so that the connection can be used again."""
    with suppress(TimeoutError, httpx2.HTTPError, EventTooLarge):
        async with asyncio.timeout(_DRAIN_SECONDS):
            async for _ in pieces:
                await asyncio.sleep(0)


def _values(
    events: list[ServerEvent], translation: Translation, *, whole: bool
) -> tuple[list[object], Callable[[], Failure] | None]:
    """The values of events, up to the end of the answer or to one that tells of a failure."""
    values: list[object] = []
    for event in events:
        try:
            value = _value(event)
        except (ValueError, RecursionError):
            # json and UTF-8 decoding raise ValueError; nesting beyond reason, RecursionError.
            return values, lambda: broken("sent an event that is not JSON").failure
        error = _error_in(value, event.name, whole=whole)
        if error is not None:
            return values, partial(translation.of_value, error, whole=whole)
        values.append(value)
        if value is Done.DONE:
            break
    return values, None


def _value(event: ServerEvent) -> object:
    """The JSON value of an event; None for one that has none and needs none."""
    text = event.data.decode().strip()
    if text.startswith(Done.DONE.value):
        return Done.DONE
    if not text:
        return None
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        if event.name in ("", "message"):
            raise
        return {"error": {"message": text}} if event.name == _ERROR_NAME else None
    return value


def _error_in(value: object, name: str, *, whole: bool) -> object:
    """What an event, or a whole answer, says of a failure; None where it tells of none."""
    if value is Done.DONE or not isinstance(value, dict):
        return value if whole and value is not Done.DONE else None
    if value.get("error"):
        return value["error"]
    is_error = _ERROR_NAME in (name, value.get("type"), value.get("object"))
    return value if is_error or (whole and "choices" not in value) else None


def _reader_of(
    content_type: str | None,
) -> Callable[[AsyncGenerator[bytes, None]], AsyncGenerator[list[ServerEvent], None]]:
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind == _STREAM_TYPE:
        return _events
    if kind == _WHOLE_TYPE:
        return _whole
    plain = kind if kind.isascii() and kind.isprintable() and 0 < len(kind) <= 64 else "something"
    cause = f"answered with {plain} instead of an event stream; is base_url right?"
    raise CallFailed(Failure(FailureKind.TRANSIENT, cause, free=True))
