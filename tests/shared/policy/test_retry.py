"""When to ask again: what a provider says in a header."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from shared.policy.retry import retry_after

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        (" 5 ", 5.0),
        ("0", 0.0),
        ("Fri, 27 Nov 2026 12:02:00 GMT", 120.0),
        ("Fri, 27 Nov 2026 11:00:00 GMT", 0.0),
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("١٢", None),
        ("Fri, 27 Nov 2026 12:02:00", None),
        ("9" * 400, 999_999_999.0),
    ],
)
def test_a_retry_after_header(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, lambda: NOW) == seconds
