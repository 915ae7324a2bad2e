"""How a rating looks: one line."""

from __future__ import annotations

from quorate.cli.events import event_line
from quorate.cli.views.json_lines import message_fields
from quorate.foreign_text import one_line
from quorate.v1 import inference_pb2


def print_rated(rated: inference_pb2.RateResponse, *, as_json: bool) -> None:
    """Prints what a rating did."""
    print(event_line("rated", message_fields(rated)) if as_json else _words(rated), flush=True)


def _words(rated: inference_pb2.RateResponse) -> str:
    if not rated.HasField("quality"):
        return "noted; it moves nothing, since a remote answered or a member was lost meanwhile"
    task = f" on {one_line(rated.task)}" if rated.task else ""
    return (
        f"{one_line(rated.vote)}{task}: expected to be right in {100 * rated.quality:.1f} % "
        f"({100 * rated.quality_before:.1f} % before)"
    )
