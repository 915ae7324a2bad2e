"""Calls of a remote API through the ``openai`` client; importing this needs that package."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

import httpx2
import openai

from quorate.remotes.failures import CallFailed, broken
from quorate.remotes.keys import ApiKey
from quorate.remotes.settings import RemoteSettings
from quorate.remotes.translation import Translation
from quorate.remotes.transport import GuardedTransport

_STREAM_TYPE = "text/event-stream"


class Calls:
    """The HTTP side of one remote: a call is a stream of JSON values, a fault a ``CallFailed``.

    Bodies and events go through the client untyped (its ``post``): the typed methods build their
    chunks without validation, so that every field would have to be distrusted all the same.

    Args:
        settings: Already checked.
        key: The key, or None.
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

        Closing the generator, or cancelling it, closes the connection.

        Args:
            path: Below the base URL.
            body: What is sent.
            private: Texts that no message may repeat.

        Raises:
            CallFailed: Anything that is not a stream of JSON events to its end.
        """
        stream: openai.AsyncStream[object] | None = None
        try:
            stream = await self._client.post(
                path,
                cast_to=object,
                body=body,
                stream=True,
                stream_cls=openai.AsyncStream[object],
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
