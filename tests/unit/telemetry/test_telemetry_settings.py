from __future__ import annotations

from pathlib import Path

import pytest

from quorate.errors import SettingsError
from quorate.settings import parse_settings
from quorate.telemetry.settings import MetricsSettings, TraceSettings


def test_both_are_off_by_default(tmp_path: Path) -> None:
    settings = parse_settings({}, tmp_path)
    assert settings.metrics == MetricsSettings(listen="")
    assert settings.traces == TraceSettings(endpoint="")


def test_both_are_read(tmp_path: Path) -> None:
    data = {
        "metrics": {"listen": "0.0.0.0:9464", "insecure": True},
        "traces": {"endpoint": "https://collector.example.com:4318"},
    }
    settings = parse_settings(data, tmp_path)
    assert settings.metrics == MetricsSettings("0.0.0.0:9464", insecure=True)
    assert settings.traces == TraceSettings("https://collector.example.com:4318")


@pytest.mark.parametrize(
    ("section", "table", "problem"),
    [
        ("metrics", {"listen": "0.0.0.0:9464"}, "metrics.listen: 0.0.0.0:9464 is open to the"),
        ("metrics", {"listen": "9464"}, "metrics.listen: must be HOST:PORT"),
        ("metrics", {"port": 9464}, "metrics.port"),
        ("traces", {"endpoint": "127.0.0.1:4318"}, "traces.endpoint: must be a URL"),
        ("traces", {"endpoint": "http://[::1:4318"}, "traces.endpoint: must be a URL"),
        ("traces", {"endpoint": "ftp://127.0.0.1"}, "traces.endpoint: must be a URL"),
        ("traces", {"endpoint": "http://far.example.com"}, "told over the network without TLS"),
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, section: str, table: dict[str, object], problem: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings({section: table}, tmp_path)
    assert problem in caught.value.message
