"""What answers and errors of the HTTP API look like."""

from __future__ import annotations

import pytest

from quorate.api.faults import STATUS_OF
from quorate.api.http.errors import STATUSES, error_body, error_headers, field_of, http_status
from quorate.api.http.pages import check_host, check_origin, named_origin
from quorate.api.http.settings import HttpSettings
from quorate.errors import (
    BudgetSpent,
    InvalidRequest,
    NotFound,
    Overloaded,
    PermissionDenied,
    SettingsError,
    Unauthenticated,
)


def test_every_status_of_an_error_has_one_of_http() -> None:
    assert set(STATUS_OF.values()) - STATUSES.keys() == set()


def test_an_invalid_field_is_told_by_the_name_it_has_here() -> None:
    also = [InvalidRequest("stopping.stop[2]", "is empty")]
    told = error_body(InvalidRequest("sampling.top_p", "is 4", also), "r1")
    assert told == {
        "error": {
            "message": "top_p: is 4; also wrong: stop[2]",
            "type": "invalid_request_error",
            "param": "top_p",
            "code": "invalid_field",
            "request_id": "r1",
            "also": [{"param": "stop[2]", "message": "is empty"}],
        }
    }


@pytest.mark.parametrize(
    ("field", "here"),
    [
        ("chat.messages[3].role", "messages[3].role"),
        ("response.top_logprobs", "top_logprobs"),
        ("plan.ensemble.members[1].weight", "model"),
        ("profile", "model"),
        ("quorate.budget.usd", "quorate.budget.usd"),
    ],
)
def test_fields_lose_the_groups_that_they_stand_in_elsewhere(field: str, here: str) -> None:
    assert field_of(field) == here


def test_errors_that_pass_say_when_to_come_back() -> None:
    assert error_headers(Overloaded("full", 0.2)) == {"retry-after": "1"}
    assert error_headers(Overloaded("full", 2.2)) == {"retry-after": "3"}
    assert error_headers(Unauthenticated("no")) == {"www-authenticate": "Bearer"}
    assert error_headers(NotFound("model", "x", [])) == {}
    assert http_status(BudgetSpent("usd_per_day", "is spent", float("inf"))) == 429
    assert error_headers(BudgetSpent("usd_per_day", "is spent", float("inf"))) == {}


def test_an_error_is_one_line_whatever_it_quotes() -> None:
    told = error_body(InvalidRequest("model", "is a\x1b[31mb\nc\ud800" + "x" * 9000), "r")["error"]
    assert "\x1b" not in told["message"] and "\n" not in told["message"]
    assert len(told["message"]) <= 2000
    told["message"].encode()


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        (None, "127.0.0.1:8080"),
        (None, None),
        ("http://127.0.0.1:8080", "127.0.0.1:8080"),
        ("https://here.example", "here.example"),
    ],
)
def test_a_page_of_this_server_and_whoever_is_no_page_may_ask(origin: str, host: str) -> None:
    check_origin(origin, host)


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "", "http://[", "file://"])
def test_pages_of_other_sites_may_not_ask(origin: str) -> None:
    with pytest.raises(PermissionDenied):
        check_origin(origin, "127.0.0.1:8080")


def test_settings_of_a_door_that_is_off_may_be_anything_but_wrong() -> None:
    assert HttpSettings.from_mapping({}, "http").listen == ""
    with pytest.raises(SettingsError, match=r"http.listen: 0.0.0.0:80 is open to the network"):
        HttpSettings.from_mapping({"listen": "0.0.0.0:80"}, "http")
    with pytest.raises(SettingsError, match=r"http.tls_key: TLS needs both"):
        HttpSettings.from_mapping({"listen": "localhost:80", "tls_certificate": "a"}, "http")
    with pytest.raises(SettingsError, match=r"http.max_body_bytes"):
        HttpSettings.from_mapping({"max_body_bytes": 1}, "http")


@pytest.mark.parametrize(
    "host",
    [
        None,
        "localhost",
        "LOCALHOST:80",
        "a.localhost:80",
        "127.0.0.1:80",
        "[::1]:80",
        "10.0.0.7",
        "ours",
    ],
)
def test_addresses_and_names_that_are_known_may_be_asked(host: str | None) -> None:
    check_host(host, ["Ours"])


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "", "[", "127.0.0.1.x"])
def test_names_that_are_not_known_may_not_be_asked(host: str) -> None:
    with pytest.raises(PermissionDenied):
        check_host(host, ["ours"])


def test_sites_that_are_named_may_ask_and_all_of_them_where_there_are_keys() -> None:
    site, other = "https://chat.example", "https://other.example"
    assert named_origin(site, [site], keys=False) == site
    assert named_origin(other, [site], keys=True) == ""
    assert named_origin(other, ["*"], keys=True) == other
    assert named_origin(other, ["*"], keys=False) == ""
    assert named_origin(None, ["*"], keys=True) == ""


@pytest.mark.parametrize(
    "origin", ["chat.example", "https://Chat.example", "https://x/", "", "null"]
)
def test_a_site_that_is_none_is_refused(origin: str) -> None:
    with pytest.raises(SettingsError, match=r"http.origins\[0\]: must be a site"):
        HttpSettings.from_mapping({"origins": [origin]}, "http")
