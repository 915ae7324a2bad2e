"""What comes of a request for tokens, as messages."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator

from quorate.engines.worker.claims import LONGEST_TEXT, MOST_NUMBERS, most_prompt_tokens
from quorate.engines.worker.messages import Encoded, EncodedPart, Refused
from quorate.errors import InvalidRequest, UnsupportedPlan


def answer(
    request: int, encode: Callable[[], list[int]], context_length: int
) -> list[EncodedPart | Encoded | Refused]:
    """Encodes; whatever goes wrong concerns this request alone, since no session is touched."""
    try:
        return list(_in_parts(request, encode(), context_length))
    except InvalidRequest as error:
        return [refused(request, type(error).__name__, error.field, error.problem)]
    except UnsupportedPlan as error:
        return [refused(request, "UnsupportedPlan", error.subject, error.problem)]
    except Exception as error:
        traceback.print_exc()
        return [refused(request, "Internal", "encode", repr(error))]


def refused(request: int, kind: str, subject: str, problem: str) -> Refused:
    """A refusal whose texts fit into a message, whoever wrote them."""
    return Refused(request, kind, subject[:LONGEST_TEXT], problem[:LONGEST_TEXT])


def _in_parts(
    request: int, tokens: list[int], context_length: int
) -> Iterator[EncodedPart | Encoded | Refused]:
    if len(tokens) > most_prompt_tokens(context_length):
        problem = f"has {len(tokens)} tokens, and the context holds {context_length}; shorten it"
        yield refused(request, "PromptTooLong", "prompt", problem)
        return
    last = max(0, len(tokens) - 1) // MOST_NUMBERS * MOST_NUMBERS
    for at in range(0, last, MOST_NUMBERS):
        yield EncodedPart(request, tokens[at : at + MOST_NUMBERS])
    yield Encoded(request, tokens[last:])
