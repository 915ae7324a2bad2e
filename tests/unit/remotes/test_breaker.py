from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from quorate.remotes import BreakerPolicy, BreakerState, CircuitBreaker
from quorate.remotes.breaker import Admission
from support.clocks import Clock

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN
POLICY = BreakerPolicy(
    consecutive_failures=3,
    window=8,
    least_outcomes=6,
    failure_share=0.5,
    open_seconds=5.0,
    longest_open_seconds=40.0,
)


@pytest.fixture
def clock() -> Clock:
    return Clock(100.0)


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(POLICY, clock)


def admitted(breaker: CircuitBreaker) -> Admission:
    admission = breaker.admit()
    assert admission is not None
    return admission


def fail(breaker: CircuitBreaker, times: int = 1) -> None:
    for _ in range(times):
        breaker.failed(admitted(breaker), "boom")


def succeed(breaker: CircuitBreaker) -> None:
    breaker.succeeded(admitted(breaker))


def test_a_new_breaker_lets_everything_through(breaker):
    assert (breaker.state, breaker.reason, breaker.retry_after_seconds) == (CLOSED, None, 0.0)
    assert [breaker.admit() is not None for _ in range(100)] == [True] * 100


def test_failures_in_a_row_open_it(breaker):
    fail(breaker, 2)
    assert breaker.state is CLOSED
    fail(breaker)
    assert (breaker.state, breaker.reason, breaker.retry_after_seconds) == (OPEN, "boom", 5.0)
    assert breaker.admit() is None


def test_a_success_between_them_starts_the_count_again(breaker):
    fail(breaker, 2)
    succeed(breaker)
    fail(breaker, 2)
    assert breaker.state is CLOSED


def test_a_share_of_failures_opens_it_once_there_are_enough_outcomes(breaker):
    for _ in range(2):
        succeed(breaker)
        fail(breaker)
    succeed(breaker)
    assert breaker.state is CLOSED
    fail(breaker)
    assert breaker.state is OPEN


def test_old_outcomes_leave_the_window(breaker):
    for _ in range(2):
        fail(breaker)
        succeed(breaker)
    for _ in range(8):
        succeed(breaker)
    for _ in range(2):
        fail(breaker)
        succeed(breaker)
    assert breaker.state is CLOSED


def test_it_lets_exactly_one_request_probe(breaker, clock):
    fail(breaker, 3)
    clock.now += 4.9
    assert breaker.state is OPEN
    clock.now += 0.1
    assert (breaker.state, breaker.admits) == (HALF_OPEN, True)
    probe = admitted(breaker)
    assert (breaker.state, breaker.admits, breaker.admit()) == (HALF_OPEN, False, None)
    assert breaker.retry_after_seconds == 5.0
    breaker.succeeded(probe)
    assert (breaker.state, breaker.reason) == (CLOSED, None)


def test_a_probe_that_is_withdrawn_makes_room_for_another(breaker, clock):
    fail(breaker, 3)
    clock.now += 5.0
    breaker.withdrawn(admitted(breaker))
    assert breaker.state is HALF_OPEN
    succeed(breaker)
    assert breaker.state is CLOSED


def test_each_probe_that_fails_doubles_the_time_up_to_the_longest(breaker, clock):
    fail(breaker, 3)
    times = []
    for _ in range(5):
        times.append(breaker.retry_after_seconds)
        clock.now += breaker.retry_after_seconds
        fail(breaker)
    assert times == [5.0, 10.0, 20.0, 40.0, 40.0]


def test_recovery_makes_it_patient_again(breaker, clock):
    fail(breaker, 3)
    clock.now += 5.0
    fail(breaker)
    clock.now += 10.0
    succeed(breaker)
    fail(breaker, 3)
    assert breaker.retry_after_seconds == 5.0


def test_a_quota_opens_it_at_once_until_the_named_reset(breaker, clock):
    breaker.quota_spent(admitted(breaker), "no money", 3600.0)
    assert (breaker.state, breaker.reason) == (OPEN, "no money")
    assert breaker.retry_after_seconds == 3600.0
    clock.now += 3599.0
    assert breaker.state is OPEN
    clock.now += 1.0
    assert breaker.state is HALF_OPEN


def test_a_quota_without_a_reset_opens_it_as_a_failure_does(breaker):
    breaker.quota_spent(admitted(breaker), "slow down", None)
    assert (breaker.state, breaker.retry_after_seconds) == (OPEN, 5.0)


def test_the_later_of_two_resets_holds(breaker):
    first, second, third = (admitted(breaker) for _ in range(3))
    breaker.quota_spent(first, "slow down", 10.0)
    breaker.quota_spent(second, "slow down", 60.0)
    breaker.quota_spent(third, "slow down", 1.0)
    assert breaker.retry_after_seconds == 60.0


def test_a_wrong_key_opens_it_for_long_and_says_so(breaker):
    breaker.misconfigured(admitted(breaker), "check the key")
    assert (breaker.state, breaker.reason) == (OPEN, "check the key")
    assert breaker.retry_after_seconds == 40.0


def test_requests_that_say_nothing_change_nothing(breaker):
    fail(breaker, 2)
    for _ in range(50):
        breaker.withdrawn(admitted(breaker))
    assert breaker.state is CLOSED
    fail(breaker)
    assert breaker.state is OPEN


def test_what_was_let_through_before_does_not_decide_for_the_probe(breaker, clock):
    old = [admitted(breaker) for _ in range(4)]
    fail(breaker, 3)
    clock.now += 5.0
    probe = admitted(breaker)
    breaker.succeeded(old[0])
    breaker.failed(old[1], "late")
    breaker.withdrawn(old[2])
    breaker.misconfigured(old[3], "late")
    assert (breaker.state, breaker.reason, breaker.admits) == (HALF_OPEN, "boom", False)
    breaker.succeeded(probe)
    assert breaker.state is CLOSED


class BreakerMachine(RuleBasedStateMachine):
    """Any order of admissions, outcomes and waiting keeps what a breaker promises."""

    @initialize()
    def start(self) -> None:
        self.clock = Clock(100.0)
        self.breaker = CircuitBreaker(POLICY, self.clock)
        self.running: list[Admission] = []
        self.probe: Admission | None = None
        self.reset_at = 0.0

    @rule(seconds=st.floats(0.0, 50.0))
    def wait(self, seconds: float) -> None:
        before = self.breaker.state
        self.clock.now += seconds
        if before is not OPEN:
            assert self.breaker.state is before

    @rule()
    def ask(self) -> None:
        state, admits = self.breaker.state, self.breaker.admits
        admission = self.breaker.admit()
        assert (admission is not None) == admits
        if state is OPEN:
            assert admission is None
        if state is HALF_OPEN:
            assert (admission is None) == (self.probe is not None)
            self.probe = admission or self.probe
        if admission is not None:
            self.running.append(admission)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), how=st.sampled_from(["ok", "fail", "quota", "key", "withdraw"]))
    def end(self, data: st.DataObject, how: str) -> None:
        which = data.draw(st.integers(0, len(self.running) - 1))
        admission = self.running.pop(which)
        state, was_probe = self.breaker.state, admission is self.probe
        if was_probe:
            self.probe = None
        self._report(data, admission, how)
        after = self.breaker.state
        if was_probe and state is HALF_OPEN:
            verdicts = {"ok": CLOSED, "withdraw": HALF_OPEN}
            assert after is verdicts.get(how, OPEN)
        elif how in ("ok", "withdraw"):
            assert after is state
        if state is not CLOSED and not was_probe:
            assert after is not CLOSED

    def _report(self, data: st.DataObject, admission: Admission, how: str) -> None:
        if how == "ok":
            self.breaker.succeeded(admission)
        elif how == "fail":
            self.breaker.failed(admission, "boom")
        elif how == "quota":
            reset = data.draw(st.none() | st.floats(0.1, 500.0))
            self.breaker.quota_spent(admission, "quota", reset)
        elif how == "key":
            self.breaker.misconfigured(admission, "key")
        else:
            self.breaker.withdrawn(admission)

    @invariant()
    def a_reason_is_told_exactly_while_it_is_not_closed(self) -> None:
        assert (self.breaker.reason is None) == (self.breaker.state is CLOSED)

    @invariant()
    def it_tells_when_it_may_let_through_again(self) -> None:
        after = self.breaker.retry_after_seconds
        assert after >= 0.0
        assert (after == 0.0) == self.breaker.admits
        if self.breaker.state is OPEN and self.breaker.reason in ("boom", "key"):
            assert after <= 500.0

    @invariant()
    def a_probe_runs_only_while_it_is_half_open(self) -> None:
        if self.probe is not None and self.probe in self.running:
            assert self.breaker.state is HALF_OPEN


TestBreakerMachine = BreakerMachine.TestCase
