"""File descriptors: as many as may be had, and some that connections never take.

A worker that is started anew needs some, and so do the ledger and the files of models. Where
connections could take the last one, a model that dies would not come back.
"""

from __future__ import annotations

import logging
import resource
from dataclasses import replace

from quorate.api.grpc.connections import open_descriptors
from quorate.api.grpc.settings import ServerSettings
from quorate.api.http.settings import HttpSettings

_OF_THE_SERVER = 64
_OF_A_MODEL = 32
_LIMIT = resource.RLIMIT_NOFILE

_log = logging.getLogger(__name__)


def with_room_for_models(
    server: ServerSettings, http: HttpSettings, models: int
) -> tuple[ServerSettings, HttpSettings]:
    """Raises this process's limit of descriptors, and lets connections take no more than fit.

    Args:
        server: How many connections there may be to one door, at most.
        http: Likewise to the other, where it is open.
        models: How many models need some besides.
    """
    allowed = _raised_limit()
    fitting = allowed - open_descriptors() - _OF_THE_SERVER - _OF_A_MODEL * models
    wanted = server.max_connections + (http.max_connections if http.listen else 0)
    if wanted <= fitting:
        return server, http
    share = fitting / wanted
    server = replace(server, max_connections=max(1, int(share * server.max_connections)))
    http = replace(http, max_connections=max(1, int(share * http.max_connections)))
    _log.warning(
        "this process may have %d open files, so that there are at most %d connections, "
        "not %d; see `ulimit -n`",
        allowed,
        server.max_connections + (http.max_connections if http.listen else 0),
        wanted,
    )
    return server, http


def _raised_limit() -> int:
    soft, hard = resource.getrlimit(_LIMIT)
    if soft != hard:
        try:
            resource.setrlimit(_LIMIT, (hard, hard))
        except (ValueError, OSError) as error:
            _log.warning("the limit of open files stays at %d: %s", soft, error)
            return soft
    return hard
