from __future__ import annotations

from quorate.remotes.cooldown import Cooldown


def test_the_longest_wish_holds_until_it_is_over():
    now = 100.0
    rest = Cooldown(lambda: now)
    assert rest.seconds == 0.0
    rest.ask(5.0, "slow down")
    rest.ask(2.0, "slow down a little")
    now = 103.0
    assert (rest.seconds, rest.cause) == (2.0, "slow down")
    rest.ask(7.0, "really")
    assert (rest.seconds, rest.cause) == (7.0, "really")
    rest.ask(0.0, "nothing")
    now = 110.0
    assert (rest.seconds, rest.cause) == (0.0, "really")
