from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.access.keys import ACCOUNTING, GENERATE, MODELS, RIGHTS, Caller, KeyRing, KeySettings
from quorate.errors import PermissionDenied, SettingsError, Unauthenticated

TOKEN = "a-token-of-alice"
DIGEST = hashlib.sha256(TOKEN.encode()).hexdigest()
ALICE = KeySettings(sha256=DIGEST)
BOB = KeySettings(token_env="BOBS", rights=(GENERATE, ACCOUNTING))


def ring() -> KeyRing:
    return KeyRing({"alice": ALICE, "bob": BOB}, {"BOBS": " token-of-bob \n"})


def test_without_keys_everybody_may_do_everything() -> None:
    for authorization in (None, "", "Bearer anything"):
        assert KeyRing({}).caller(authorization) == Caller("", frozenset(RIGHTS))


def test_a_token_is_known_by_its_hash_and_by_its_variable() -> None:
    keys = ring()
    assert keys.caller(f"Bearer {TOKEN}") == Caller("alice", frozenset({GENERATE}))
    assert keys.caller("Bearer token-of-bob") == Caller("bob", frozenset({GENERATE, ACCOUNTING}))


@pytest.mark.parametrize("header", ["bearer {}", "BEARER {}", "Bearer  {} "])
def test_the_scheme_may_be_written_in_any_letters(header: str) -> None:
    assert ring().caller(header.format(TOKEN)).key == "alice"


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        (None, "wants a token"),
        ("", "wants a token"),
        ("Bearer", "must be `Bearer TOKEN`"),
        ("Bearer ", "must be `Bearer TOKEN`"),
        (TOKEN, "must be `Bearer TOKEN`"),
        (f"Basic {TOKEN}", "must be `Bearer TOKEN`"),
        ("Bearer nobody", "nobody has this token"),
        (f"Bearer {TOKEN}x", "nobody has this token"),
        (f"Bearer {DIGEST}", "nobody has this token"),
    ],
)
def test_anything_else_is_refused_in_one_line_that_does_not_repeat_it(
    header: str | None, problem: str
) -> None:
    with pytest.raises(Unauthenticated, match=problem) as refusal:
        ring().caller(header)
    assert "\n" not in refusal.value.message
    assert TOKEN not in refusal.value.message


@given(st.text())
def test_no_other_text_is_a_token(text: str) -> None:
    if text.strip() == TOKEN:
        return
    with pytest.raises(Unauthenticated):
        KeyRing({"alice": ALICE}).caller(f"Bearer {text}")


def test_a_ring_keeps_no_token() -> None:
    assert "token-of-bob" not in repr(vars(ring()))


@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_variable_that_is_not_set_is_named(value: str | None) -> None:
    environment = {} if value is None else {"BOBS": value}
    with pytest.raises(SettingsError) as refusal:
        KeyRing({"bob": BOB}, environment)
    assert refusal.value.message == ("keys.bob.token_env: the environment variable BOBS is not set")


def test_two_keys_with_one_token_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"keys\.bob: has the same token as keys\.alice"):
        KeyRing({"alice": ALICE, "bob": BOB}, {"BOBS": TOKEN})


def test_a_caller_is_told_which_right_is_missing() -> None:
    caller = Caller("alice", frozenset({GENERATE}))
    caller.require(GENERATE)
    for right in (MODELS, ACCOUNTING):
        with pytest.raises(PermissionDenied, match=f"key alice .* right '{right}'"):
            caller.require(right)


def test_a_key_of_the_configuration_is_read() -> None:
    read = KeySettings.from_mapping({"token_env": "X", "rights": ["models"]}, "keys.a")
    assert read == KeySettings(token_env="X", rights=(MODELS,))
    assert KeySettings.from_mapping({"sha256": DIGEST}, "keys.a") == ALICE


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({}, "keys.a: give token_env or sha256, one of them"),
        ({"token_env": "X", "sha256": DIGEST}, "keys.a: give token_env or sha256, one of them"),
        ({"sha256": "abc"}, "keys.a.sha256: must be 64 hexadecimal digits, in lower case"),
        ({"sha256": DIGEST.upper()}, "keys.a.sha256: must be 64 hexadecimal digits"),
        ({"token_env": "X", "rights": ["all"]}, "keys.a.rights[0]: must be one of generate, "),
        ({"token_env": "X", "rights": "generate"}, "keys.a.rights: must be a list of texts"),
        ({"token": "x"}, "keys.a.token: unknown key; did you mean token_env?"),
    ],
)
def test_a_key_that_is_wrong_is_refused_under_its_name(table: dict[str, Any], problem: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        KeySettings.from_mapping(table, "keys.a")
    assert refusal.value.message.startswith(problem)


@pytest.mark.parametrize(
    ("rights", "asked", "seen"),
    [
        (frozenset({GENERATE}), None, "alice"),
        (frozenset({GENERATE}), "alice", "alice"),
        (frozenset({ACCOUNTING}), None, None),
        (frozenset({ACCOUNTING}), "alice", "alice"),
        (frozenset({ACCOUNTING}), "bob", "bob"),
        (frozenset({ACCOUNTING}), "", ""),
    ],
)
def test_a_caller_sees_what_it_spent_and_with_the_right_to_it_what_others_did(
    rights: frozenset[str], asked: str | None, seen: str | None
) -> None:
    assert Caller("alice", rights).visible_key(asked) == seen


@pytest.mark.parametrize("asked", ["bob", ""])
def test_what_another_spent_is_not_seen_without_the_right_to_it(asked: str) -> None:
    with pytest.raises(PermissionDenied, match="right 'accounting'"):
        Caller("alice", frozenset({GENERATE})).visible_key(asked)
