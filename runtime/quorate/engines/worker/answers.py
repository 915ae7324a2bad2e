"""What comes of a request for tokens, as a message."""

from __future__ import annotations

import traceback
from collections.abc import Callable

from quorate.engines.worker.messages import Encoded, Refused
from quorate.errors import InvalidRequest, UnsupportedPlan


def answer(request: int, encode: Callable[[], list[int]]) -> Encoded | Refused:
    """Encodes; whatever goes wrong concerns this request alone, since no session is touched."""
    try:
        return Encoded(request, encode())
    except InvalidRequest as error:
        return Refused(request, type(error).__name__, error.field, error.problem)
    except UnsupportedPlan as error:
        return Refused(request, "UnsupportedPlan", error.subject, error.problem)
    except Exception as error:
        traceback.print_exc()
        return Refused(request, "Internal", "encode", repr(error))
