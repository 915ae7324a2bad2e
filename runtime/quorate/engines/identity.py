"""Whether two processes have loaded the same model, as far as prompts go.

A worker and the encoder beside it read the same file at different times, and files are replaced.
"""

from __future__ import annotations

from quorate.engines.template_facts import TemplateFacts


def identity(table_digest: bytes, template: TemplateFacts) -> str:
    """One text for a vocabulary and a chat template; equal ones give equal tokens.

    Args:
        table_digest: SHA-256 of ``Vocabulary.to_bytes``.
        template: Says which template it is.
    """
    return f"{table_digest.hex()}-{template.digest}"
