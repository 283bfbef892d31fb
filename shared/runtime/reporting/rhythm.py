"""Connected but silent: accounts that told us something all the time, and have stopped.

A webhook that was taken away at the provider makes no error anywhere. Each process learns how often the accounts come
by here; who comes often and then stays away much longer than ever in the last hour is said to be silent.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from time import monotonic

import structlog

from shared.runtime import metrics
from shared.runtime.reporting.by_account import Labels

log = structlog.get_logger()

CHECK_SECONDS = 10.0
SILENT_WITHIN = 280.0
"""Seconds after which the silence of a busy account is known at the latest; with a check in between, 5 minutes."""
_AT_LEAST = 60.0  # seconds of silence that nobody is told of
# Of gaps that come by chance, the longest of an hour is nearly never passed so far: once in n to the power of it.
_FACTOR = 2.5
_SLOT = 300.0
_SLOTS = 12
_LEARNED = 1800.0  # seconds of listening before anything is said
_ENOUGH = 100  # times heard in the last hour
_MOST = 2000  # accounts; who has been away longest is forgotten
_RECENT = 300.0  # seconds during which a process that has not learned an account yet vouches for it


class _Rhythm:
    """How often one account was heard in the last hour, and the longest it stayed away between; times are monotonic."""

    __slots__ = ("counts", "last", "longest", "since", "slot", "told")

    def __init__(self, now: float) -> None:
        self.since = self.last = now
        self.slot = int(now / _SLOT)
        self.counts = [0] * _SLOTS
        self.longest = [0.0] * _SLOTS
        self.told = False

    def heard(self, now: float) -> None:
        self._turn(now)
        place = self.slot % _SLOTS
        self.counts[place] += 1
        self.longest[place] = max(self.longest[place], now - self.last)
        self.last = now

    def _turn(self, now: float) -> None:
        """The slots of an hour ago are empty again."""
        slot = int(now / _SLOT)
        for passed in range(max(self.slot + 1, slot - _SLOTS + 1), slot + 1):
            self.counts[passed % _SLOTS] = 0
            self.longest[passed % _SLOTS] = 0.0
        self.slot = slot

    def allowed(self) -> float | None:
        """Seconds it may stay away; None while that is not known, or too long to tell silence from quiet."""
        if self.last - self.since < _LEARNED or sum(self.counts) < _ENOUGH:
            return None
        allowed = max(_AT_LEAST, _FACTOR * max(self.longest))
        return allowed if allowed <= SILENT_WITHIN else None


class Rhythms:
    """Those of one process. `there` says whether an account is (still) served; `clock` is monotonic, in seconds."""

    def __init__(
        self, channel: str, labels: Labels, there: Callable[[str], bool], clock: Callable[[], float] = monotonic
    ) -> None:
        self._channel = channel
        self._labels = labels
        self._there = there
        self._clock = clock
        self._known: OrderedDict[str, _Rhythm] = OrderedDict()
        self._shown: set[str] = set()

    def heard(self, account_id: str) -> None:
        """The account has told us something."""
        now = self._clock()
        known = self._known.get(account_id)
        if known is None or known.told:  # after a silence, which is no part of its rhythm, it is learned anew
            if known is not None:
                log.info("account_heard_again", account_id=account_id, seconds=round(now - known.last))
            known = self._known[account_id] = _Rhythm(now)
        known.heard(now)
        self._known.move_to_end(account_id)
        while len(self._known) > _MOST:
            self._known.popitem(last=False)

    def check(self) -> None:
        """Say who has become silent, in the log and in `account_silent`."""
        now = self._clock()
        shown: dict[str, int] = {}
        for account_id, known in list(self._known.items()):
            if not self._there(account_id):
                del self._known[account_id]
                continue
            allowed, away = known.allowed(), now - known.last
            if allowed is not None and away > allowed and not known.told:
                known.told = True
                log.warning(
                    "account_silent", account_id=account_id, seconds=round(away), usual=round(allowed / _FACTOR)
                )
            if known.told or allowed is not None or away < _RECENT:
                label = self._labels.known(account_id)
                shown[label] = shown.get(label, 0) + known.told
        self._show(shown)

    def _show(self, shown: Mapping[str, int]) -> None:
        for label in self._shown - set(shown):
            metrics.ACCOUNT_SILENT.remove(self._channel, label)
        self._shown = set(shown)
        for label, silent in shown.items():
            metrics.ACCOUNT_SILENT.labels(self._channel, label).set(silent)
