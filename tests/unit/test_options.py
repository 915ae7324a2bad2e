from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.errors import SettingsError
from quorate.options import as_float, option, read_options, refuse_unknown


@dataclass(frozen=True)
class Oven:
    fan: bool = False
    trays: int = option(2, lowest=1, highest=5)
    degrees: float = option(180.0, lowest=0.5)
    mode: str = option("bake", choices=("bake", "grill"))
    label: str = ""
    shares: tuple[float, ...] = option((), lowest=0, highest=10)
    words: tuple[str, ...] = option((), texts=True)
    seed: int = 0


def refused(**values: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        read_options(Oven, values, "kitchen.oven")
    return caught.value.message


def test_what_is_not_named_keeps_its_default() -> None:
    assert read_options(Oven, {}, "oven") == Oven()
    assert read_options(Oven, {"trays": 5}, "oven") == Oven(trays=5)


def test_an_integer_will_do_for_a_number() -> None:
    oven = read_options(Oven, {"degrees": 200, "shares": [1, 0.5]}, "oven")
    assert type(oven.degrees) is float
    assert oven.shares == (1.0, 0.5)
    assert {type(share) for share in oven.shares} == {float}


@pytest.mark.parametrize("words", [["a", "", "é"], ("a", "", "é")])
def test_a_list_of_texts_keeps_their_order(words: Any) -> None:
    assert read_options(Oven, {"words": words}, "oven").words == ("a", "", "é")
    assert read_options(Oven, {"words": []}, "oven").words == ()


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"fan": 1}, "fan: must be true or false, not 1"),
        ({"fan": "yes"}, "fan: must be true or false, not 'yes'"),
        ({"trays": True}, "trays: must be an integer, not True"),
        ({"trays": 2.0}, "trays: must be an integer, not 2.0"),
        ({"trays": None}, "trays: must be an integer, not None"),
        ({"degrees": True}, "degrees: must be a number, not True"),
        ({"degrees": "180"}, "degrees: must be a number, not '180'"),
        ({"mode": ["bake"]}, "mode: must be a text, not ['bake']"),
        ({"label": 3}, "label: must be a text, not 3"),
        ({"shares": 1}, "shares: must be a list of numbers, not 1"),
        ({"shares": "12"}, "shares: must be a list of numbers, not '12'"),
        ({"shares": [1, "2"]}, "shares[1]: must be a number, not '2'"),
        ({"shares": [True]}, "shares[0]: must be a number, not True"),
        ({"words": "ab"}, "words: must be a list of texts, not 'ab'"),
        ({"words": 1}, "words: must be a list of texts, not 1"),
        ({"words": ["a", 2]}, "words[1]: must be a text, not 2"),
        ({"words": [["a"]]}, "words[0]: must be a text, not ['a']"),
    ],
)
def test_a_wrong_type_is_refused_with_its_key(values: dict[str, Any], problem: str) -> None:
    assert refused(**values) == f"kitchen.oven.{problem}"


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"trays": 0}, "trays: must be from 1 to 5, not 0"),
        ({"trays": 6}, "trays: must be from 1 to 5, not 6"),
        ({"degrees": 0.4}, "degrees: must be finite and at least 0.5, not 0.4"),
        ({"degrees": math.nan}, "degrees: must be finite and at least 0.5, not nan"),
        ({"degrees": math.inf}, "degrees: must be finite and at least 0.5, not inf"),
        ({"degrees": 10**400}, "degrees: must be finite and at least 0.5, not inf"),
        ({"degrees": -(10**400)}, "degrees: must be finite and at least 0.5, not -inf"),
        ({"shares": [0, 11]}, "shares[1]: must be from 0 to 10, not 11.0"),
        ({"shares": [10**400]}, "shares[0]: must be from 0 to 10, not inf"),
        ({"shares": [math.nan]}, "shares[0]: must be from 0 to 10, not nan"),
        ({"mode": "boil"}, "mode: must be one of bake, grill, not 'boil'"),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_limits(
    values: dict[str, Any], problem: str
) -> None:
    assert refused(**values) == f"kitchen.oven.{problem}"


@pytest.mark.parametrize("trays", [1, 5])
def test_limits_belong_to_the_range(trays: int) -> None:
    assert read_options(Oven, {"trays": trays}, "oven").trays == trays


def test_an_integer_without_limits_may_be_of_any_size() -> None:
    assert read_options(Oven, {"seed": -(10**400)}, "oven").seed == -(10**400)


def test_an_unknown_key_names_the_nearest_or_all() -> None:
    assert refused(tray=1) == "kitchen.oven.tray: unknown key; did you mean trays?"
    assert refused(zzz=1) == (
        "kitchen.oven.zzz: unknown key; "
        "known: fan, trays, degrees, mode, label, shares, words, seed"
    )


def test_an_unknown_key_of_the_file_itself_stands_alone() -> None:
    with pytest.raises(SettingsError, match=r"^srever: unknown key; did you mean server\?$"):
        refuse_unknown({"server": 1, "srever": 2}, ("server", "models"), "")


@given(st.integers())
def test_an_integer_keeps_its_sign_and_order_as_a_float(number: int) -> None:
    assert (as_float(number) > 0) == (number > 0)
    assert abs(as_float(number)) >= abs(as_float(number // 2)) or number == -1


@given(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(),
        st.lists(st.floats()),
        st.lists(st.text()),
    ),
    st.sampled_from(["fan", "trays", "degrees", "mode", "label", "shares", "words", "seed"]),
)
def test_any_value_is_taken_or_refused_in_one_line(value: Any, name: str) -> None:
    try:
        oven = read_options(Oven, {name: value}, "oven")
    except SettingsError as error:
        assert error.message.startswith(f"oven.{name}")
        assert "\n" not in error.message
    else:
        taken = getattr(oven, name)
        assert taken == (tuple(value) if name in ("shares", "words") else value)
