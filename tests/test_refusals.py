"""The document of refusals is what the tables and the golden files say, with no word of a library."""

from __future__ import annotations

from tests.refusals import DOCUMENT, document, examples


def test_the_document_is_fresh() -> None:
    assert DOCUMENT.read_text() == document(), "make docs writes it anew"


def test_no_golden_refusal_has_a_librarys_words() -> None:
    told = [str(refused["detail"]) for _, refused, _ in examples()]
    assert len(told) > 50
    assert not [
        words for words in told if "Input should" in words or "Field required" in words or "should have" in words
    ]
