"""The catalogue of metrics: documented, under one prefix, complete from the start, bounded by account."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from shared.runtime import metrics
from shared.runtime.reporting import by_account
from shared.runtime.reporting.by_account import LABELLED, REST, REVIEW_SECONDS, Labels
from shared.runtime.reporting.rhythm import CHECK_SECONDS, SILENT_WITHIN, Rhythms
from tests.metrics import DOCUMENT, catalogue, document, name_of

CHANNEL = "metered"


def samples(name: str, channel: str = CHANNEL) -> dict[str, float]:
    """A metric's series of one channel, by the value of their last label but that."""
    return {
        [value for label, value in sample.labels.items() if label != "channel"][-1]: sample.value
        for family in metrics.REGISTRY.collect()
        for sample in family.samples
        if sample.name == f"{metrics.PREFIX}_{name}" and sample.labels.get("channel") == channel
    }


def test_the_document_is_fresh() -> None:
    assert DOCUMENT.read_text() == document(), "make docs writes it anew"


def test_all_have_the_prefix_and_are_defined_in_one_place() -> None:
    assert all(name_of(metric).startswith(f"{metrics.PREFIX}_") for metric in catalogue())
    root = Path(__file__).parents[1]
    elsewhere = [
        path
        for folder in ("shared", "services")
        for path in (root / folder).rglob("*.py")
        if path != Path(metrics.__file__) and "registry=REGISTRY" in path.read_text()
    ]
    assert elsewhere == []


def test_the_process_is_measured() -> None:
    exposed = metrics.exposition().decode()
    assert "process_resident_memory_bytes " in exposed
    assert "python_gc_collections_total{" in exposed


def test_what_has_not_happened_yet_is_zero() -> None:
    metrics.begin(CHANNEL, ["deliver"])
    assert samples("webhooks_total")["401"] == 0
    assert samples("statuses_total") == {"": 0, "uncertain": 0, "internal": 0}
    assert samples("dead_letters_total")["internal"] == 0
    assert samples("records_total")["poisoned"] == 0
    assert samples("consumer_lag") == {"deliver": 0}
    ((_, one),) = samples("build_info").items()
    assert one == 1


def test_the_busiest_accounts_have_series_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(by_account, "monotonic", lambda: now[0])
    monkeypatch.setitem(by_account.labels, CHANNEL, Labels(CHANNEL))
    for number in range(5000):
        by_account.sent(CHANNEL, f"acc_{number}", 1)
    shown = samples("account_sends_total")
    assert len(shown) == LABELLED + 1
    assert shown[REST] == 5000 - LABELLED
    for _ in range(100):
        by_account.sent(CHANNEL, "acc_900", 2)
    now[0] += REVIEW_SECONDS + 1
    by_account.sent(CHANNEL, "acc_900", 2)
    after = samples("account_sends_total")
    assert len(after) == LABELLED + 1
    # What was counted among the others stays there: no series goes down.
    assert (after["acc_900"], after[REST]) == (2, shown[REST] + 200)


class Minutes:
    """A process that listens to accounts, on a clock of its own."""

    def __init__(self, name: str) -> None:
        self.name = name  # of its channel
        self.now = 1_000_000.0
        self.gone: set[str] = set()
        self.labels = Labels(name)
        self.rhythms = Rhythms(name, self.labels, lambda account_id: account_id not in self.gone, lambda: self.now)

    @property
    def silent(self) -> dict[str, float]:
        return samples("account_silent", self.name)

    def listen(self, minutes: float, every: dict[str, float]) -> None:
        """Time passes while each account comes by in its own interval of seconds; everybody is looked at as in life."""
        until, due = self.now + 60 * minutes, dict.fromkeys(every, self.now)
        look = self.now
        while self.now < until:
            for account_id, interval in every.items():
                if due[account_id] <= self.now:
                    self.labels.of(account_id)
                    self.rhythms.heard(account_id)
                    due[account_id] += interval
            if look <= self.now:
                self.rhythms.check()
                look += CHECK_SECONDS
            self.now += 1


def test_a_busy_account_whose_webhook_was_taken_away_is_told_of_within_five_minutes() -> None:
    assert SILENT_WITHIN + CHECK_SECONDS < 300
    world = Minutes("stops")
    with capture_logs() as lines:
        world.listen(45, {"busy": 10.0, "quiet": 900.0, "steady": 20.0})
        assert world.silent["busy"] == 0
        world.listen(5, {"steady": 20.0})
        assert world.silent == {"busy": 1, "steady": 0}
        world.listen(120, {"steady": 20.0})
        assert world.silent == {"busy": 1, "steady": 0}
        world.listen(1, {"steady": 20.0, "busy": 10.0})
        assert world.silent == {"busy": 0, "steady": 0}
    told = [(line["event"], line["account_id"]) for line in lines]
    assert told == [("account_silent", "busy"), ("account_heard_again", "busy")]


def test_what_is_not_known_long_or_has_gone_is_not_told_of() -> None:
    world = Minutes("unknown")
    with capture_logs() as lines:
        world.listen(20, {"new": 5.0})
        world.listen(30, {})
        world.listen(45, {"removed": 5.0})
        world.gone.add("removed")
        world.listen(30, {})
        # By and by it comes less often, as at night: its rhythm is learned with it.
        for interval in (5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0):
            world.listen(60, {"evening": interval})
        world.listen(60, {})
    assert lines == []
    assert world.silent == {}


def test_more_accounts_than_are_kept_are_forgotten_and_counted_together() -> None:
    world = Minutes("many")
    for number in range(30):
        world.labels.of(f"acc_{number}")
    world.listen(40, {f"acc_{number}": 10.0 for number in range(30)})
    world.listen(5, {})
    shown = world.silent
    assert len(shown) == LABELLED + 1
    assert (shown[REST], sum(shown.values())) == (30 - LABELLED, 30)
