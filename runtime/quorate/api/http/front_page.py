"""The page at ``/``: one file of ours, which loads nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files

_PARTS = re.compile(rb"<(script|style)>(.*?)</\1>", re.DOTALL)


@cache
def front_page() -> tuple[bytes, str]:
    """The page, and the policy that it is sent with: nothing runs in it but what it has itself."""
    page = files("quorate.api.http").joinpath("page/index.html").read_bytes()
    hashes = {
        kind.decode("ascii"): base64.b64encode(hashlib.sha256(part).digest()).decode("ascii")
        for kind, part in _PARTS.findall(page)
    }
    policy = (
        "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; "
        f"script-src 'sha256-{hashes['script']}'; style-src 'sha256-{hashes['style']}'"
    )
    return page, policy
