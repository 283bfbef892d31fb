"""The document of the providers' errors is what the tables say, and leaves no code of theirs out."""

from __future__ import annotations

from services.whatsapp.api.error_codes import MEANINGS
from services.whatsapp.api.errors import CASES, RULES
from tests.provider_errors import DOCUMENT, document


def test_the_document_is_fresh() -> None:
    assert DOCUMENT.read_text() == document(), "make docs writes it anew"


def test_every_code_of_metas_is_described_once() -> None:
    described = [code for codes, _ in MEANINGS for code in codes]
    assert len(described) == len(set(described))
    assert set(described) == set(RULES)
    assert {case.code for case in CASES} <= set(described)
