"""The documents of errors, limits and refusals are what the tables say, with no word of a library."""

from __future__ import annotations

from types import ModuleType

import pytest

from shared.contract.errors import ERRORS, ErrorCode
from tests import errors, limits, refusals
from tests.refusals import examples


@pytest.mark.parametrize("made", [errors, limits, refusals], ids=["errors", "limits", "refusals"])
def test_the_document_is_fresh(made: ModuleType) -> None:
    assert made.DOCUMENT.read_text() == made.document(), "make docs writes it anew"


def test_the_table_names_every_parameter_of_a_refusal() -> None:
    named = [(ERRORS[ErrorCode(str(refused["code"]))], refused.get("params")) for _, refused, _ in examples()]
    given = [(set(params), {"channel", *fact.params}) for fact, params in named if isinstance(params, dict)]
    assert any(len(names) > 1 for names, _ in given)
    assert all(names <= known for names, known in given)


def test_no_golden_refusal_has_a_librarys_words() -> None:
    told = [str(refused["detail"]) for _, refused, _ in examples()]
    assert len(told) > 50
    assert not [
        words for words in told if "Input should" in words or "Field required" in words or "should have" in words
    ]
