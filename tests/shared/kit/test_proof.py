"""What proves a request, and what does not."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from shared.kit.proof import digests, proven


def test_any_of_the_expected_proves_it() -> None:
    assert proven("two", [b"one", b"two"])
    assert not proven("three", [b"one", b"two"])


@pytest.mark.parametrize("given", ["", "\udcff", "é"])
def test_nothing_and_what_is_no_text_prove_nothing(given: str) -> None:
    assert not proven(given, [b"", b"one"])
    assert not proven(given, [])


def test_an_empty_secret_makes_no_digest() -> None:
    assert digests(["", b""], b"body") == []
    assert digests(["k", b"k"], b"body") == [hmac.new(b"k", b"body", hashlib.sha256).digest()] * 2
