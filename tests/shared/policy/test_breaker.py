"""A circuit breaker opens after a few bad answers in a row, is tried, and lets go by ramp."""

from __future__ import annotations

from shared.policy.breaker import FIRST_HOLD, LONGEST_ASKED, LONGEST_HOLD, RAMP_LASTS, THRESHOLD, CircuitBreaker


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def opened(width: int = 4) -> tuple[CircuitBreaker, Clock]:
    clock = Clock()
    breaker = CircuitBreaker(width, clock)
    for _ in range(THRESHOLD):
        breaker.leave(breaker.enter(), False)
    assert breaker.open
    return breaker, clock


def test_bad_answers_in_a_row_open_it_and_a_good_one_between_does_not() -> None:
    breaker = CircuitBreaker(4, Clock())
    for good in (False, False, True, False, None, False):
        breaker.leave(breaker.enter(), good)
        assert breaker.closed
        assert breaker.room is None
    breaker.leave(breaker.enter(), False)
    assert breaker.open
    assert breaker.room == 0


def test_pauses_between_trials_grow_to_a_bound() -> None:
    breaker, clock = opened()
    pauses = []
    for _ in range(7):
        pauses.append(breaker.trial_at - clock.now)
        clock.now = breaker.trial_at
        breaker.tried(False)
    assert pauses[:3] == [FIRST_HOLD, 2 * FIRST_HOLD, 4 * FIRST_HOLD]
    assert pauses[-1] == LONGEST_HOLD


def test_what_the_provider_asks_for_is_kept_within_reason() -> None:
    breaker, clock = opened()
    breaker.tried(False, 120.0)
    assert breaker.trial_at == breaker.asked_until == clock.now + 120
    breaker.tried(False, 10**9)
    assert breaker.trial_at == clock.now + LONGEST_ASKED
    breaker.tried(True)
    assert breaker.asked_until is None


def test_it_lets_go_by_ramp_and_is_closed_at_its_width() -> None:
    breaker, _ = opened(width=4)
    breaker.tried(True)
    rooms = []
    while not breaker.closed:
        assert breaker.room is not None
        rooms.append(breaker.room)
        calls = [breaker.enter() for _ in range(breaker.room)]
        assert breaker.room == 0
        for period in calls:
            breaker.leave(period, True)
    assert rooms == [1, 2, 4]
    assert breaker.spotless


def test_with_little_to_send_it_closes_after_a_while_but_not_while_a_call_hangs() -> None:
    breaker, clock = opened()
    breaker.tried(True)
    hanging = breaker.enter()
    clock.now += RAMP_LASTS
    breaker.rest()
    assert breaker.room == 0
    breaker.leave(hanging, None)
    breaker.rest()
    assert breaker.closed


def test_a_bad_answer_while_it_recovers_opens_it_again_and_a_neutral_one_says_nothing() -> None:
    breaker, _ = opened()
    breaker.tried(True)
    breaker.leave(breaker.enter(), None)
    assert breaker.room == 1
    breaker.leave(breaker.enter(), False)
    assert breaker.open


def test_late_answers_of_an_earlier_time_neither_open_nor_close_it() -> None:
    clock = Clock()
    breaker = CircuitBreaker(4, clock)
    early = [breaker.enter() for _ in range(5)]
    for period in early[:3]:
        breaker.leave(period, False)
    breaker.tried(True)
    breaker.leave(early[3], False)
    assert breaker.room == 1
    breaker.leave(early[4], True)
    assert breaker.room == 1


def test_a_late_good_answer_lets_the_way_be_tried_at_once() -> None:
    clock = Clock()
    breaker = CircuitBreaker(4, clock)
    early = [breaker.enter() for _ in range(4)]
    for period in early[:3]:
        breaker.leave(period, False)
    clock.now = 0.5
    breaker.leave(early[3], True)
    assert breaker.trial_at == 0.5
