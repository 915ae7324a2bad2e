from __future__ import annotations

import pytest

from quorate.errors import SettingsError
from quorate.remotes import RemoteSettings
from quorate.remotes.settings import read_key

LEAST = {"base_url": "https://api.example.com/v1", "model": "big"}


def read(**values: object) -> RemoteSettings:
    return RemoteSettings.from_mapping({**LEAST, **values}, "remotes.far")


def test_an_address_and_a_model_are_enough():
    assert read() == RemoteSettings(**LEAST)
    assert read().max_tokens_field == "max_tokens"


def test_what_is_not_given_is_unknown_and_not_zero():
    settings = read()
    assert settings.input_usd_per_mtok is None
    assert settings.output_usd_per_mtok is None
    assert settings.context_length is None
    assert settings.quality is None
    assert settings.time_to_first_token_ms is None
    assert settings.tokens_per_second is None


def test_a_remote_can_be_free():
    settings = read(input_usd_per_mtok=0, output_usd_per_mtok=0.0)
    assert (settings.input_usd_per_mtok, settings.output_usd_per_mtok) == (0.0, 0.0)
    assert type(settings.input_usd_per_mtok) is float


def test_values_are_taken():
    given = {
        "quality": 0.8,
        "context_length": 128_000,
        "time_to_first_token_ms": 400,
        "tokens_per_second": 55.5,
        "max_tokens_field": "max_completion_tokens",
        "text_prompts": True,
    }
    settings = read(tasks=["code", "law"], **given)
    assert settings == RemoteSettings(**LEAST, tasks=("code", "law"), **given)


@pytest.mark.parametrize("missing", ["base_url", "model"])
def test_an_address_and_a_model_are_needed(missing):
    given = {name: value for name, value in LEAST.items() if name != missing}
    with pytest.raises(SettingsError, match=rf"^remotes\.far\.{missing}: is missing"):
        RemoteSettings.from_mapping(given, "remotes.far")


def test_an_unknown_key_names_the_nearest_whatever_its_kind():
    with pytest.raises(SettingsError, match=r"qualty: .*did you mean quality\?"):
        read(qualty=0.5)
    with pytest.raises(SettingsError, match=r"modle: .*did you mean model\?"):
        read(modle="x")


@pytest.mark.parametrize("name", ["input_usd_per_mtok", "output_usd_per_mtok"])
def test_half_a_price_is_refused(name):
    other = {"input": "output", "output": "input"}[name.split("_")[0]]
    with pytest.raises(SettingsError, match=rf"^remotes\.far\.{other}_usd_per_mtok: prices need"):
        read(**{name: 1.0})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("input_usd_per_mtok", -0.1),
        ("output_usd_per_mtok", "free"),
        ("context_length", 0),
        ("context_length", 1.5),
        ("quality", 1.01),
        ("quality", True),
        ("time_to_first_token_ms", 0),
        ("tokens_per_second", float("nan")),
        ("max_concurrent", 0),
        ("connect_timeout_seconds", 0),
        ("read_timeout_seconds", float("inf")),
        ("max_retries", -1),
        ("max_tokens_field", "max_new_tokens"),
        ("tasks", "code"),
        ("model", 7),
        ("text_prompts", 1),
    ],
)
def test_a_wrong_value_names_its_key(name, value):
    with pytest.raises(SettingsError, match=rf"^remotes\.far\.{name}"):
        read(**{name: value})


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com/v1",
        "https://api.example.com:8443",
        "http://127.0.0.1:8000/v1",
        "http://localhost:8000",
        "http://[::1]:8000/v1",
    ],
)
def test_tls_and_loopback_are_trusted(url):
    assert read(base_url=url).base_url == url


@pytest.mark.parametrize(
    "url", ["http://api.example.com/v1", "http://10.0.0.7:8000", "http://0.0.0.0"]
)
def test_plain_http_to_others_has_to_be_asked_for(url):
    with pytest.raises(SettingsError, match=r"^remotes\.far\.base_url: .*without TLS.*insecure"):
        read(base_url=url)
    assert read(base_url=url, insecure=True).base_url == url


@pytest.mark.parametrize(
    "url",
    [
        "api.example.com/v1",
        "ftp://api.example.com",
        "https://",
        "https:///v1",
        "https://host:99999/v1",
        "https://host:0/v1",
        "https://[::1/v1",
        "https://host/v 1",
        "https://host/v1\n",
        "https://exämple.com",
        "https://host/v1?key=hush",
        "https://host/v1#hush",
        "https://user:hush@host/v1",
        "https://hush@host/v1",
    ],
)
def test_what_is_no_plain_address_is_refused_without_repeating_it(url):
    with pytest.raises(SettingsError, match=r"^remotes\.far\.base_url: ") as caught:
        read(base_url=url, insecure=True)
    assert "hush" not in caught.value.message
    assert caught.value.message.isprintable()


def test_a_remote_without_a_key_needs_no_environment():
    assert read_key("", {}, "remotes.far") is None


def test_a_key_is_read_and_does_not_show_itself():
    key = read_key("BIG_KEY", {"BIG_KEY": "sk-hush"}, "remotes.far")
    assert key is not None
    assert key.reveal() == "sk-hush"
    assert "hush" not in f"{key!r} {key} {[key]}"


@pytest.mark.parametrize("environ", [{}, {"BIG_KEY": ""}, {"big_key": "x"}])
def test_a_variable_that_is_not_set_is_named(environ):
    with pytest.raises(SettingsError) as caught:
        read_key("BIG_KEY", environ, "remotes.far")
    assert caught.value.message == (
        "remotes.far.api_key_env: the environment variable BIG_KEY is not set; set it to the key "
        "of this remote"
    )


@pytest.mark.parametrize("value", ["hush hush", "hush\n", "hush\r\nX-Evil: 1", "hüsh"])
def test_a_key_that_no_header_can_hold_is_refused_without_showing_it(value):
    with pytest.raises(SettingsError, match="BIG_KEY holds characters") as caught:
        read_key("BIG_KEY", {"BIG_KEY": value}, "remotes.far")
    assert "sh" not in caught.value.message.replace("such", "")
