"""Words of people: one normal form, what is seen, what a file may be called."""

from __future__ import annotations

import pytest

from shared.kit.words import is_visible, nfc, safe_filename


def test_a_text_is_in_normal_form_c_and_otherwise_untouched() -> None:
    assert nfc("e\u0301\u202e a") == "é\u202e a"
    assert (nfc(None), nfc(""), nfc("plain")) == ("", "", "plain")


@pytest.mark.parametrize(
    ("text", "seen"),
    [("a", True), ("👍", True), ("\ue000", True), ("", False), (" \u00a0\u2028", False), ("\u200b\u202e\x00", False)],
)
def test_what_a_reader_would_see(text: str, seen: bool) -> None:
    assert is_visible(text) is seen


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\ida\\a.pdf", "a.pdf"),
        ("invoice\u202egpj.exe", "invoice_gpj.exe"),
        ("a\r\nb.txt", "a_b.txt"),
        ("x" * 300 + ".pdf", "x" * 251 + ".pdf"),
        ("folder/", None),
        ("", None),
        (None, None),
    ],
)
def test_a_file_name_is_a_last_step_without_tricks(name: str | None, safe: str | None) -> None:
    assert safe_filename(name) == safe
