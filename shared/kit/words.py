"""Words of people: in one normal form, seen or not, and as a file's name."""

from __future__ import annotations

import re
import unicodedata

# Blanks, controls and marks of direction; not the private use area, where some fonts have a logo.
_UNSEEN = frozenset({"Cc", "Cf", "Zl", "Zp", "Zs"})
# Characters that show nothing, and those that turn the reading direction round and hide what a name ends with.
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069]+")
_LONGEST_NAME = 255


def nfc(text: str | None) -> str:
    """The text in Unicode normal form C: the only change made to what somebody wrote. Empty for None."""
    return text or "" if text is None or text.isascii() else unicodedata.normalize("NFC", text)


def is_visible(text: str) -> bool:
    """Whether a reader would see anything of the text."""
    return any(unicodedata.category(character) not in _UNSEEN for character in text)


def safe_filename(name: str | None) -> str | None:
    """A file name somebody else chose: the last step of a path, without control characters."""
    last = _CONTROL.sub("_", nfc(name)).replace("\\", "/").rpartition("/")[2]
    return last[-_LONGEST_NAME:] or None
