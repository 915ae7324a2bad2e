from __future__ import annotations

import pytest

from quorate.engines.chat.turns import place_system
from quorate.engines.template_facts import TemplateFacts
from quorate.request import Message

NOWHERE = TemplateFacts(system_first=False, system_later=False)
FIRST = TemplateFacts(system_first=True, system_later=False)


def chat(written: str) -> list[Message]:
    """Messages from ``s:text u:text a:text``; ``|`` stands for a blank line."""
    roles = {"s": "system", "u": "user", "a": "assistant"}
    pairs = (one.split(":") for one in written.split())
    return [Message(roles[role], text.replace("|", "\n\n")) for role, text in pairs]


@pytest.mark.parametrize(
    ("facts", "written", "placed"),
    [
        (TemplateFacts(), "s:rule u:hi s:late", "s:rule u:hi s:late"),
        (NOWHERE, "s:rule u:hi a:ho u:so", "u:rule|hi a:ho u:so"),
        (NOWHERE, "s:one s:two u:hi", "u:one|two|hi"),
        (NOWHERE, "s:rule a:ho u:so", "a:ho u:rule|so"),
        (NOWHERE, "u:hi a:ho s:late u:so", "u:hi a:ho u:late|so"),
        (NOWHERE, "u:hi s:late", "u:hi|late"),
        (NOWHERE, "u:hi s:late a:ho", "u:hi|late a:ho"),
        (NOWHERE, "u:hi a:ho s:late", "u:hi a:ho u:late"),
        (NOWHERE, "s:rule", "u:rule"),
        (NOWHERE, "s:rule a:ho", "u:rule a:ho"),
        (NOWHERE, "s: u:hi", "u:hi"),
        (FIRST, "s:rule u:hi a:ho s:late u:so", "s:rule u:hi a:ho u:late|so"),
        (FIRST, "s:rule s:more u:hi", "s:rule u:more|hi"),
    ],
)
def test_system_text_without_a_place_stands_where_the_user_speaks_next(facts, written, placed):
    assert place_system(chat(written), facts) == chat(placed)
