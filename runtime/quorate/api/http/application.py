"""Which path is answered by what."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from quorate.api.http.call import Call
from quorate.api.http.guard import Guard, Handler
from quorate.api.http.openai.listing import Listing
from quorate.api.http.openai.serving import Answering
from quorate.api.http.tokens import TokenPaths
from quorate.dispatch import Dispatcher
from quorate.errors import NotFound, UnsupportedPlan
from quorate.fleet.fleet import Fleet

_METHOD_NOT_ALLOWED = 405
_UNHEALTHY = 503


class _Guarded:
    """What is answered on one path, once the guard lets it through.

    A class, since Starlette takes functions for handlers of its own requests.

    Args:
        guard: Stands before it.
        path: As the log and metrics call it.
        handlers: By HTTP method.
        other: Handles requests of other methods; by default they are refused.
        needs_key: Whether its callers need a key, where there are keys.
    """

    def __init__(
        self,
        guard: Guard,
        path: str,
        handlers: Mapping[str, Handler],
        other: Handler | None = None,
        *,
        needs_key: bool = True,
    ) -> None:
        self._guard = guard
        self._path = path
        self._handlers = handlers
        self._other = other or self._refuse
        self._needs_key = needs_key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # The transport leaves out the body of what answers a HEAD.
        verb = "GET" if scope["method"] == "HEAD" else scope["method"]
        handler = self._handlers.get(verb, self._other)
        # Those that are not served are whatever their callers like, and metrics count by name.
        name = f"{verb if verb in self._handlers else '-'} {self._path}"
        await self._guard.answer(name, handler, scope, receive, send, needs_key=self._needs_key)

    async def _refuse(self, call: Call) -> None:
        allowed = ", ".join(self._handlers)
        call.record.status = "UNIMPLEMENTED"
        told = {
            "message": f"this method is not served here; use {allowed}",
            "type": "invalid_request_error",
            "param": None,
            "code": "method_not_allowed",
        }
        await call.answer(_METHOD_NOT_ALLOWED, {"error": told}, {"allow": allowed})


def application(
    dispatcher: Dispatcher, fleet: Fleet, guard: Guard, problem: Callable[[], str]
) -> ASGIApp:
    """All paths.

    Args:
        dispatcher: Runs requests.
        fleet: Knows the models.
        guard: Stands before all of them; ``/health`` alone needs no key.
        problem: Why the service is not healthy, or "".
    """
    answering, listing = Answering(dispatcher, fleet, guard), Listing(dispatcher, fleet)
    tokens = TokenPaths(fleet, guard)
    paths: Mapping[str, Mapping[str, Handler]] = {
        "/v1/chat/completions": {"POST": answering.chat},
        "/v1/completions": {"POST": answering.text},
        "/v1/embeddings": {"POST": _no_embeddings},
        "/v1/models": {"GET": listing.all},
        "/v1/models/{model:path}": {"GET": listing.one},
        "/tokenize": {"POST": tokens.tokenize},
        "/detokenize": {"POST": tokens.detokenize},
    }

    async def health(call: Call) -> None:
        if why := problem():
            await call.answer(_UNHEALTHY, {"status": "unhealthy", "problem": why})
        else:
            await call.answer(200, {"status": "ok"})

    async def elsewhere(call: Call) -> None:
        raise NotFound("path", call.path, [*paths, "/health"])

    routes = [Route(path, _Guarded(guard, path, handlers)) for path, handlers in paths.items()]
    routes.append(Route("/health", _Guarded(guard, "/health", {"GET": health}, needs_key=False)))
    # A path may be longer than a line has room for, and end otherwise for each request.
    default = _Guarded(guard, "(elsewhere)", {}, elsewhere)
    return Router(routes, redirect_slashes=False, default=default)


async def _no_embeddings(call: Call) -> None:
    raise UnsupportedPlan("embeddings", "are not served here: the models are loaded to write text")
