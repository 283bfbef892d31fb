"""A circuit breaker: when calls are held back because nothing useful is answered, and how they are let go on."""

from __future__ import annotations

import itertools
from collections.abc import Callable

THRESHOLD = 3  # calls in a row
FIRST_HOLD = 1.0  # seconds; doubles with every trial that fails
LONGEST_HOLD = 10.0
RAMP_LASTS = 5.0  # seconds, where there is too little to send for a ramp by answers
LONGEST_ASKED = 3600.0  # of what a provider may ask for with Retry-After

_PERIODS = itertools.count(1)


class CircuitBreaker:
    """Closed, it admits everything, until `THRESHOLD` answers in a row were bad: then it is open.

    Open, it admits nothing; from `trial_at` on somebody is to try the way with a harmless call and to say how that
    went (`tried`). Once the way is good it recovers: one call at once, with every good answer one more, and closed at
    `width`, or when nothing bad has come for a while. A bad answer while it recovers opens it again.

    Answers may come late: `enter` gives the period in which a call was admitted, and what `leave` says of a call from
    an earlier period does not count. Times are seconds of `clock`.
    """

    def __init__(self, width: int, clock: Callable[[], float]) -> None:
        self.trial_at = 0.0
        self.asked_until: float | None = None
        """Until when the provider itself has asked for silence."""
        self._width = width
        self._clock = clock
        self._period = 0
        self._bad = 0
        self._holds = 0
        self._under_way = 0
        self._recovers_since = 0.0
        self._room: int | None = None

    @property
    def closed(self) -> bool:
        return self._room is None

    @property
    def open(self) -> bool:
        return self._room == 0

    @property
    def spotless(self) -> bool:
        """Closed, and the last answer was none of the bad ones: it may as well be forgotten."""
        return self.closed and not self._bad

    @property
    def room(self) -> int | None:
        """How many calls may begin now; None: any number."""
        return None if self._room is None else max(0, self._room - self._under_way)

    def enter(self) -> int:
        """A call begins, for which there is `room`; its period."""
        self._under_way += 1
        return self._period

    def leave(self, period: int, good: bool | None, retry_after: float = 0.0) -> None:
        """A call has ended: with a good answer, a bad one, or (None) with one that says nothing of the way."""
        if period != self._period:
            if good and self.open and self.asked_until is None:
                self.trial_at = self._clock()  # somebody has got through
            return
        self._under_way -= 1
        if good is False:
            self._bad += 1
            if self._room is not None or self._bad >= THRESHOLD:
                self.hold(retry_after)
        elif good:
            self._bad = 0
            if self._room is not None:
                self._widen()

    def hold(self, retry_after: float = 0.0, *, trial_now: bool = False) -> None:
        """Open it: the way is tried after a growing pause (or now), or when the provider has said."""
        now = self._clock()
        asked = min(retry_after, LONGEST_ASKED)
        pause = 0.0 if trial_now else min(LONGEST_HOLD, FIRST_HOLD * 2.0**self._holds)
        self.asked_until = now + asked if asked > 0 else None
        self.trial_at = now + max(asked, pause)
        self._holds = min(self._holds + 1, 8)
        self._begin(0)

    def tried(self, good: bool, retry_after: float = 0.0) -> None:
        """How the trial of an open breaker went."""
        if not self.open:
            return
        if good:
            self.asked_until = None
            self._recovers_since = self._clock()
            self._begin(1)
        else:
            self.hold(retry_after)

    def rest(self) -> None:
        """Nothing is left to send: a breaker that has recovered long enough closes."""
        if self._room and not self._under_way and self._clock() - self._recovers_since >= RAMP_LASTS:
            self._room, self._holds = None, 0

    def _widen(self) -> None:
        assert self._room is not None
        self._room += 1
        if self._room > self._width:
            self._room, self._holds = None, 0

    def _begin(self, room: int) -> None:
        self._period = next(_PERIODS)
        self._room = room
        self._under_way = 0
