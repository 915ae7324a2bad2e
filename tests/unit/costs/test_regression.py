from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.costs.regression import Floats, RelativeRegression, solve_nonnegative

PRIOR = (20.0, 1.0, 8.0)
TRUE = (50.0, 0.5, 30.0)

sizes = st.floats(0, 1e9)
targets = st.floats(1e-9, 1e12)


def price(coefficients: Sequence[float], features: Sequence[float]) -> float:
    return sum(c * f for c, f in zip(coefficients, features, strict=True))


def varied(random: np.random.Generator) -> tuple[float, float, float]:
    return (1.0, float(random.integers(10, 2000)), float(random.integers(1, 500)))


def teach(regression: RelativeRegression, random: np.random.Generator, count: int) -> None:
    """Usual requests at their true price."""
    for _ in range(count):
        features = varied(random)
        regression.observe(features, price(TRUE, features))


def test_without_observations_it_is_the_prior() -> None:
    assert RelativeRegression(PRIOR).coefficients() == pytest.approx(PRIOR)
    assert RelativeRegression(PRIOR).predict((1.0, 10.0, 2.0)) == pytest.approx(46.0)


@pytest.mark.parametrize("speed", [1e-4, 1.0, 1e5])
def test_the_first_observation_sets_the_scale_and_keeps_the_proportions(speed: float) -> None:
    regression = RelativeRegression(PRIOR)
    features = (1.0, 100.0, 10.0)
    regression.observe(features, speed * price(PRIOR, features))
    assert regression.coefficients() == pytest.approx([speed * one for one in PRIOR])


def test_it_finds_the_coefficients_of_exact_observations() -> None:
    random = np.random.default_rng(1)
    regression = RelativeRegression(PRIOR, prior_weight=1e-6)
    teach(regression, random, 100)
    assert regression.coefficients() == pytest.approx(TRUE, rel=0.01)


def test_without_forgetting_it_is_the_ridge_solution_on_relative_error() -> None:
    random = np.random.default_rng(2)
    seen = [varied(random) for _ in range(40)]
    actual = [price(TRUE, one) * float(random.uniform(0.8, 1.2)) for one in seen]
    regression = RelativeRegression(PRIOR, forgetting=1.0, prior_weight=0.5)
    for features, target in zip(seen, actual, strict=True):
        regression.observe(features, target)
    scale = actual[0] / price(PRIOR, seen[0])
    unit = scale * np.array(PRIOR)
    rows = np.array(seen) * unit / np.array(actual)[:, None]
    whole = rows.sum(axis=1)
    level = whole.sum() / (whole @ whole)
    weight = 0.5 / level**2
    moment = rows.sum(axis=0) + weight * level
    shares = np.linalg.solve(rows.T @ rows + weight * np.eye(3), moment)
    assert (shares > 0).all()
    assert regression.coefficients() == pytest.approx(unit * shares)


@pytest.mark.parametrize("wrong", [1e-3, 1e3])
def test_a_first_observation_far_off_does_not_set_the_scale_for_long(wrong: float) -> None:
    random = np.random.default_rng(7)
    regression = RelativeRegression(PRIOR)
    features = varied(random)
    regression.observe(features, wrong * price(TRUE, features))
    teach(regression, random, 400)
    features = (1.0, 500.0, 100.0)
    assert regression.predict(features) == pytest.approx(price(TRUE, features), rel=0.05)


def test_one_observation_far_too_fast_is_outweighed_soon() -> None:
    random = np.random.default_rng(8)
    regression = RelativeRegression(PRIOR)
    for step in range(200):
        features = varied(random)
        wrong = 1e-6 if step == 100 else 1.0
        regression.observe(features, wrong * price(TRUE, features))
    features = (1.0, 500.0, 100.0)
    assert regression.predict(features) == pytest.approx(price(TRUE, features), rel=0.2)


def test_a_slow_and_a_fast_request_count_alike() -> None:
    regression = RelativeRegression((1.0,), forgetting=1.0, prior_weight=1e-9)
    regression.observe((1.0,), 10.0)
    regression.observe((1000.0,), 20_000.0)
    # Minimises (x / 10 - 1)² + (x / 20 - 1)².
    assert regression.coefficients()[0] == pytest.approx(0.15 / 0.0125)


def test_it_follows_a_machine_that_slows_down_step_by_step() -> None:
    random = np.random.default_rng(3)
    regression = RelativeRegression(PRIOR)
    for step in range(600):
        slowness = 1 + max(0.0, min(1.0, (step - 100) / 300))
        features = varied(random)
        regression.observe(features, slowness * price(TRUE, features))
    features = (1.0, 300.0, 100.0)
    assert regression.predict(features) == pytest.approx(2 * price(TRUE, features), rel=0.05)


def test_a_thousand_requests_of_one_shape_leave_what_is_known_of_others() -> None:
    random = np.random.default_rng(4)
    regression = RelativeRegression(PRIOR)
    teach(regression, random, 100)
    for _ in range(1000):
        same = (1.0, 100.0, 100.0)
        regression.observe(same, price(TRUE, same) * float(random.uniform(0.9, 1.1)))
    for other in [(1.0, 2000.0, 1.0), (1.0, 10.0, 500.0), (1.0, 1000.0, 100.0)]:
        assert regression.predict(other) == pytest.approx(price(TRUE, other), rel=0.15)


def test_after_a_rescale_everything_costs_the_multiple() -> None:
    random = np.random.default_rng(5)
    regression = RelativeRegression(PRIOR)
    teach(regression, random, 50)
    features = (1.0, 200.0, 50.0)
    before = regression.predict(features)
    regression.rescale(3.0, kept=0.1)
    assert regression.predict(features) == pytest.approx(3 * before, rel=0.1)


@given(st.lists(st.tuples(sizes, sizes, targets), min_size=1, max_size=60))
def test_no_observation_makes_it_negative_or_infinite(
    observations: list[tuple[float, float, float]],
) -> None:
    regression = RelativeRegression(PRIOR)
    for prompt, output, target in observations:
        regression.observe((1.0, prompt, output), target)
        coefficients = regression.coefficients()
        assert all(0 <= one < math.inf for one in coefficients)


def drive(regression: RelativeRegression, seed: int, count: int) -> None:
    """Phases of one shape, of usual shapes and of extreme ones, at costs that scatter a lot."""
    random = np.random.default_rng(seed)
    done = 0
    while done < count:
        phase = random.integers(3)
        for _ in range(1000):
            features = varied(random) if phase else (1.0, 77.0, 33.0)
            if phase == 2:
                features = (1.0, 10 ** random.uniform(0, 9), 10 ** random.uniform(0, 9))
            regression.observe(features, price(TRUE, features) * 10 ** random.uniform(-1, 1))
        done += 1000


def assert_sound(regression: RelativeRegression) -> None:
    """It still learns, and what it holds is what a restart would accept."""
    RelativeRegression(PRIOR).restore(regression.state())
    random = np.random.default_rng(0)
    teach(regression, random, 2000)
    for features in [(1.0, 500.0, 100.0), (1.0, 1500.0, 10.0)]:
        assert regression.predict(features) == pytest.approx(price(TRUE, features), rel=0.05)


@settings(max_examples=5)
@given(st.integers(0, 2**32))
def test_it_is_sound_after_thousands_of_updates(seed: int) -> None:
    regression = RelativeRegression(PRIOR)
    drive(regression, seed, 5_000)
    assert_sound(regression)


@pytest.mark.slow
def test_it_is_sound_after_a_million_updates() -> None:
    regression = RelativeRegression(PRIOR)
    drive(regression, seed=1, count=1_000_000)
    assert_sound(regression)


def test_a_saved_state_goes_on_where_it_ended() -> None:
    random = np.random.default_rng(6)
    first = RelativeRegression(PRIOR)
    teach(first, random, 30)
    second = RelativeRegression(PRIOR)
    second.restore(first.state())
    for regression in (first, second):
        regression.observe((1.0, 5.0, 5.0), 1234.0)
    assert second.coefficients() == first.coefficients()


@pytest.mark.parametrize(
    "damage",
    [
        {"scale": 0.0},
        {"scale": float("nan")},
        {"scale": "1"},
        {"moment": [1.0]},
        {"moment": None},
        {"information": [1.0] * 4},
        {"information": [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]},
        {"information": [-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, -1.0]},
        {"information": [float("inf")] * 9},
    ],
)
def test_a_damaged_state_is_refused(damage: dict[str, object]) -> None:
    state: dict[str, object] = {**RelativeRegression(PRIOR).state(), **damage}
    with pytest.raises(ValueError, match=r"scale|moment|information"):
        RelativeRegression(PRIOR).restore(state)  # type: ignore[arg-type]


def objective(gram: Floats, moment: Floats, x: Floats) -> float:
    return float(x @ gram @ x - 2 * moment @ x)


def exhaustive(gram: Floats, moment: Floats) -> Floats:
    """The best of all sets of used features: what the active-set method must find."""
    size = len(moment)
    best = np.zeros(size)
    for count in range(1, size + 1):
        for chosen in combinations(range(size), count):
            used = list(chosen)
            x = np.zeros(size)
            x[used] = np.linalg.solve(gram[np.ix_(used, used)], moment[used])
            feasible = bool((x >= 0).all())
            if feasible and objective(gram, moment, x) < objective(gram, moment, best):
                best = x
    return best


@given(st.integers(0, 2**32), st.integers(1, 6))
def test_it_finds_the_best_of_all_active_sets(seed: int, size: int) -> None:
    random = np.random.default_rng(seed)
    rows = random.normal(size=(size + 2, size))
    gram = rows.T @ rows + 0.01 * np.eye(size)
    moment = random.normal(size=size)
    found = solve_nonnegative(gram, moment)
    expected = exhaustive(gram, moment)
    assert (found >= 0).all()
    assert objective(gram, moment, found) == pytest.approx(
        objective(gram, moment, expected), rel=1e-7, abs=1e-9
    )


def test_a_free_solution_without_negatives_is_kept() -> None:
    gram = np.array([[2.0, 0.5], [0.5, 1.0]])
    wanted = np.array([3.0, 4.0])
    assert solve_nonnegative(gram, gram @ wanted) == pytest.approx(wanted)


def test_a_feature_that_would_be_negative_is_zero_and_the_rest_fitted_again() -> None:
    gram = np.array([[1.0, 0.5], [0.5, 1.0]])
    moment = gram @ np.array([2.0, -1.0])
    assert solve_nonnegative(gram, moment) == pytest.approx([1.5, 0.0])


def test_where_nothing_helps_all_is_zero() -> None:
    assert solve_nonnegative(np.eye(3), np.array([-1.0, 0.0, -2.0])).tolist() == [0, 0, 0]
