"""The document of files is what the capabilities say."""

from __future__ import annotations

from tests.files import DOCUMENT, document


def test_the_document_is_fresh() -> None:
    assert DOCUMENT.read_text() == document(), "make docs writes it anew"
