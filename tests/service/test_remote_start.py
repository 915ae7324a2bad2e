"""What a remote needs before it can be asked."""

from __future__ import annotations

import sys

import pytest

from quorate.errors import SettingsError
from quorate.remotes import Remote, RemoteSettings
from support.repository import run


def test_the_client_is_not_imported_before_a_remote_is_opened():
    program = (
        "import sys, quorate, quorate.remotes;"
        "print(sorted({'openai', 'httpx2', 'pydantic'} & set(sys.modules)))"
    )
    assert run(sys.executable, "-c", program).stdout.strip() == "[]"


def test_a_missing_extra_is_named():
    program = (
        "import sys; sys.modules['openai'] = None\n"
        "from quorate.remotes import Remote, RemoteSettings\n"
        "try: Remote('far', RemoteSettings(base_url='http://127.0.0.1:9', model='m'), {})\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    told = "SettingsError remotes.far: remotes need the package openai; install quorate[remote]"
    assert run(sys.executable, "-c", program).stdout.strip() == told


def test_a_missing_key_is_told_when_the_remote_is_opened():
    settings = RemoteSettings(base_url="http://127.0.0.1:9", model="m", api_key_env="BIG_KEY")
    with pytest.raises(SettingsError, match=r"remotes\.far\.api_key_env: .* BIG_KEY is not set"):
        Remote("far", settings, {})
