"""Packages that only some of what can be configured needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from types import MappingProxyType

from quorate.errors import SettingsError

_NEEDED: Mapping[str, tuple[str, Sequence[str]]] = MappingProxyType(
    {
        "http.listen": ("http", ("uvicorn", "starlette")),
        "metrics.listen": ("metrics", ("prometheus_client",)),
        "traces.endpoint": ("traces", ("opentelemetry.exporter.otlp.proto.http",)),
    }
)
"""For each setting the extra of this package, and the modules that it brings."""


def need(key: str) -> None:
    """Refuses a setting whose packages are not installed.

    Raises:
        SettingsError: One of its modules is not there.
    """
    extra, modules = _NEEDED[key]
    for module in modules:
        parts = module.split(".")
        names = [".".join(parts[: count + 1]) for count in range(len(parts))]
        if not all(find_spec(name) for name in names):
            raise SettingsError(f"{key}: needs more packages: pip install 'quorate[{extra}]'")
