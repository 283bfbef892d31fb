"""Metrics by account, bounded: the busiest accounts have series of their own, the others share one."""

from __future__ import annotations

from collections import defaultdict
from time import monotonic, time

from shared.runtime import metrics

LABELLED = 20
"""Accounts of a channel with series of their own."""
REST = "other"
"""The label of all others together."""
REVIEW_SECONDS = 600.0
_CANDIDATES = 1000  # accounts that are counted to find the busiest; more than these are not compared
_COUNTERS = (metrics.ACCOUNT_SENDS, metrics.ACCOUNT_ERRORS, metrics.ACCOUNT_WINDOWS)


class Labels:
    """Which accounts of a channel have a label. What is counted is counted under one label, once and for all: when an
    account's place goes to a busier one, its series end, and the sum over all labels stays true."""

    def __init__(self, channel: str) -> None:
        self._channel = channel
        self._labelled: set[str] = set()
        self._counts: dict[str, int] = {}
        self._reviewed = monotonic()

    def of(self, account_id: str) -> str:
        """The label to count something of the account under, which makes it busier."""
        if account_id in self._counts or len(self._counts) < _CANDIDATES:
            self._counts[account_id] = self._counts.get(account_id, 0) + 1
        if monotonic() - self._reviewed > REVIEW_SECONDS:
            self._review()
        if len(self._labelled) < LABELLED:
            self._labelled.add(account_id)
        return self.known(account_id)

    def known(self, account_id: str) -> str:
        """The label that the account has now."""
        return account_id if account_id in self._labelled else REST

    def _review(self) -> None:
        """Who is more than twice as busy takes the place of the least busy; old counts fade."""
        self._reviewed = monotonic()
        weakest = sorted(self._labelled, key=lambda name: self._counts.get(name, 0))
        others = sorted(self._counts.keys() - self._labelled, key=lambda name: -self._counts[name])
        for gone, comes in zip(weakest, others, strict=False):
            if self._counts[comes] <= 2 * self._counts.get(gone, 0):
                break
            self._labelled.remove(gone)
            self._labelled.add(comes)
            for metric in (*_COUNTERS, metrics.ACCOUNT_WEBHOOK):
                metric.remove(self._channel, gone)
        self._counts = {name: count // 2 for name, count in self._counts.items() if count > 1}


class _OfChannels(defaultdict[str, Labels]):
    def __missing__(self, channel: str) -> Labels:
        made = self[channel] = Labels(channel)
        return made


labels = _OfChannels()
"""Those of the process, as its metrics are: a service has one channel."""


def sent(channel: str, account_id: str, parts: int) -> None:
    """The provider took so many parts of a message."""
    metrics.ACCOUNT_SENDS.labels(channel, labels[channel].of(account_id)).inc(parts)


def refused(channel: str, account_id: str) -> None:
    """The provider refused a call."""
    metrics.ACCOUNT_ERRORS.labels(channel, labels[channel].of(account_id)).inc()


def window_closed(channel: str, account_id: str) -> None:
    """A message was refused because its window is closed."""
    metrics.ACCOUNT_WINDOWS.labels(channel, labels[channel].of(account_id)).inc()


def heard(channel: str, account_id: str) -> None:
    """The account has told us something, now."""
    metrics.ACCOUNT_WEBHOOK.labels(channel, labels[channel].of(account_id)).set(time())
