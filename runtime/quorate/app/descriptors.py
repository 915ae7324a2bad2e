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

_OF_THE_SERVER = 64
_OF_A_MODEL = 32
_LIMIT = resource.RLIMIT_NOFILE

_log = logging.getLogger(__name__)


def with_room_for_models(settings: ServerSettings, models: int) -> ServerSettings:
    """Raises this process's limit of descriptors, and lets connections take no more than fit.

    Args:
        settings: How many connections there may be, at most.
        models: How many models need some besides.
    """
    allowed = _raised_limit()
    fitting = max(1, allowed - open_descriptors() - _OF_THE_SERVER - _OF_A_MODEL * models)
    if settings.max_connections <= fitting:
        return settings
    _log.warning(
        "this process may have %d open files, so that there are at most %d connections, "
        "not %d; see `ulimit -n`",
        allowed,
        fitting,
        settings.max_connections,
    )
    return replace(settings, max_connections=fitting)


def _raised_limit() -> int:
    soft, hard = resource.getrlimit(_LIMIT)
    if soft != hard:
        try:
            resource.setrlimit(_LIMIT, (hard, hard))
        except (ValueError, OSError) as error:
            _log.warning("the limit of open files stays at %d: %s", soft, error)
            return soft
    return hard
