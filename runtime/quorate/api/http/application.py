"""Which path is answered by what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from quorate.api.http.answering import Answering
from quorate.api.http.anthropic.counting import TokenCount
from quorate.api.http.anthropic.messages import message_asked
from quorate.api.http.anthropic.shapes import MessageShape, message_error
from quorate.api.http.call import Call
from quorate.api.http.errors import error_body
from quorate.api.http.front_page import front_page
from quorate.api.http.guard import ErrorBody, Guard, Handler
from quorate.api.http.openai.chats import chat_asked
from quorate.api.http.openai.listing import Listing
from quorate.api.http.openai.response_shapes import ResponseShape
from quorate.api.http.openai.responses import NAMES, response_asked
from quorate.api.http.openai.shapes import ChatShape, TextShape
from quorate.api.http.openai.texts import text_asked
from quorate.api.http.overview import Overview
from quorate.api.http.pages import preflight_headers
from quorate.api.http.ratings import RatingPath
from quorate.api.http.tokens import TokenPaths
from quorate.api.tokenizing import Tokenizing
from quorate.dispatch import Dispatcher
from quorate.errors import InvalidRequest, NotFound, PermissionDenied, UnsupportedPlan
from quorate.fleet.fleet import Fleet
from quorate.foreign_text import quoted

_NOT_FOUND = 404
_METHOD_NOT_ALLOWED = 405
_UNHEALTHY = 503
_PREFLIGHT = b"access-control-request-method"


class _Guarded:
    """What is answered on one path, once the guard lets it through.

    A class, since Starlette takes functions for handlers of its own requests.

    Args:
        guard: Stands before it.
        path: As the log and metrics call it.
        handlers: By HTTP method.
        other: Handles requests of other methods; by default they are refused.
        needs_key: Whether its callers need a key, where there are keys.
        words: The body that an error is told with.
    """

    def __init__(
        self,
        guard: Guard,
        path: str,
        handlers: Mapping[str, Handler],
        other: Handler | None = None,
        *,
        needs_key: bool = True,
        words: ErrorBody = error_body,
    ) -> None:
        self._guard = guard
        self._path = path
        self._handlers = handlers
        self._other = other or self._refuse
        self._words = words
        self._options: dict[str, Any] = {"needs_key": needs_key, "words": words}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # The transport leaves out the body of what answers a HEAD.
        verb = "GET" if scope["method"] == "HEAD" else scope["method"]
        handler, options = self._handlers.get(verb, self._other), self._options
        if verb == "OPTIONS" and any(name == _PREFLIGHT for name, _ in scope["headers"]):
            # Browsers ask so without the key.
            handler, options = _preflight, {**options, "needs_key": False}
        # Those that are not served are whatever their callers like, and metrics count by name.
        name = f"{verb if verb in self._handlers else '-'} {self._path}"
        await self._guard.answer(name, handler, scope, receive, send, **options)

    async def _refuse(self, call: Call) -> None:
        allowed = ", ".join(self._handlers)
        call.record.status = "UNIMPLEMENTED"
        problem = InvalidRequest("method", f"is not served here; use {allowed}")
        told = self._words(problem, call.record.request_id, {})
        told["error"].update(param=None, code="method_not_allowed")
        await call.answer(_METHOD_NOT_ALLOWED, told, {"allow": allowed})


def application(
    dispatcher: Dispatcher, fleet: Fleet, guard: Guard, problem: Callable[[], str]
) -> ASGIApp:
    """All paths.

    Args:
        dispatcher: Runs requests.
        fleet: Knows the models.
        guard: Stands before all of them; ``/health`` and the page alone need no key.
        problem: Why the service is not healthy, or "".
    """
    tokenizing = Tokenizing(fleet)
    answering = Answering(dispatcher, fleet, guard, tokenizing)
    listing = Listing(dispatcher, fleet)
    tokens = TokenPaths(dispatcher, fleet, guard, tokenizing)
    count = TokenCount(dispatcher, fleet, guard, tokenizing)
    paths: Mapping[str, Mapping[str, Handler]] = {
        "/v1/chat/completions": {"POST": answering.handler(chat_asked, ChatShape)},
        "/v1/completions": {"POST": answering.handler(text_asked, TextShape)},
        "/v1/responses": {"POST": answering.handler(response_asked, ResponseShape, NAMES)},
        "/v1/embeddings": {"POST": _no_embeddings},
        "/v1/models": {"GET": listing.all},
        "/v1/models/{model:path}": {"GET": listing.one},
        "/tokenize": {"POST": tokens.tokenize},
        "/detokenize": {"POST": tokens.detokenize},
        "/quorate/overview": {"GET": Overview(dispatcher, fleet).told},
        "/quorate/ratings": {"POST": RatingPath(dispatcher, guard).rate},
    }

    async def health(call: Call) -> None:
        if why := problem():
            call.record.status = "UNAVAILABLE"
            await call.answer(_UNHEALTHY, {"status": "unhealthy", "problem": why})
        else:
            await call.answer(200, {"status": "ok"})

    async def elsewhere(call: Call) -> None:
        raise NotFound("path", call.path, [*paths, *anthropic, "/health"])

    anthropic: Mapping[str, Mapping[str, Handler]] = {
        "/v1/messages": {"POST": answering.handler(message_asked, MessageShape)},
        "/v1/messages/count_tokens": {"POST": count.answer},
    }
    routes = [Route(path, _Guarded(guard, path, handlers)) for path, handlers in paths.items()]
    for path, verbs in (
        ("/v1/responses/{id}", ("GET", "DELETE")),
        ("/v1/responses/{id}/{rest:path}", ("GET", "POST")),
    ):
        kept = dict.fromkeys(verbs, _no_response)
        routes.append(Route(path, _Guarded(guard, path, kept, elsewhere)))
    # The page asks for a key where it needs one.
    for path, handler in (("/health", health), ("/", _page)):
        routes.append(Route(path, _Guarded(guard, path, {"GET": handler}, needs_key=False)))
    words: Any = {"words": message_error}
    routes += [
        Route(path, _Guarded(guard, path, handlers, **words))
        for path, handlers in anthropic.items()
    ]
    below = _Guarded(guard, "(elsewhere)", {}, elsewhere, **words)
    routes.append(Route("/v1/messages/{rest:path}", below))
    # A path may be longer than a line has room for, and end otherwise for each request.
    default = _Guarded(guard, "(elsewhere)", {}, elsewhere)
    return Router(routes, redirect_slashes=False, default=default)


async def _preflight(call: Call) -> None:
    if not call.site:
        origin = call.header("origin") or "no site"
        raise PermissionDenied(f"pages of {quoted(origin)} may not ask here; see http.origins")
    asked = call.header("access-control-request-headers")
    await call.answer(200, {}, preflight_headers(asked))


async def _page(call: Call) -> None:
    await call.answer_page(*front_page())


async def _no_embeddings(call: Call) -> None:
    raise UnsupportedPlan("embeddings", "are not served here: the models are loaded to write text")


async def _no_response(call: Call) -> None:
    call.record.status = "NOT_FOUND"
    problem = "names a response, and none is stored here; send what was said as input"
    told = error_body(InvalidRequest("id", problem), call.record.request_id)
    told["error"].update(type="not_found_error", param=None, code="not_found")
    await call.answer(_NOT_FOUND, told)
