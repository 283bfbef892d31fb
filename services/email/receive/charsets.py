"""Bytes of a mail as text, whatever they were said to be."""

from __future__ import annotations

import codecs
import re
import unicodedata
from functools import lru_cache

# What senders mean by these names is not what Python reads under them.
_ALIASES = {
    "ansi_x3.4-1968": "us-ascii",
    "ansi_x3.110-1983": "iso-8859-1",
    "cp-850": "cp850",
    "default": "utf-8",
    "eucgb2312_cn": "gb18030",
    "gb2312": "gb18030",
    "gb_2312-80": "gb18030",
    "gbk": "gb18030",
    "iso-2022-jp": "iso2022_jp_ext",
    "iso-8859-1": "cp1252",
    "iso-8859-8-i": "iso-8859-8",
    "iso-8859-8-e": "iso-8859-8",
    "iso-8859-9": "cp1254",
    "iso-8859-11": "cp874",
    "tis-620": "cp874",
    "windows-874": "cp874",
    "ks_c_5601": "cp949",
    "ks_c_5601-1987": "cp949",
    "ksc5601": "cp949",
    "euc-kr": "cp949",
    "macintosh": "mac-roman",
    "x-mac-roman": "mac-roman",
    "x-mac-cyrillic": "mac-cyrillic",
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "sjis": "cp932",
    "x-sjis": "cp932",
    "unicode-1-1-utf-7": "utf-7",
    "unicode-1-1-utf-8": "utf-8",
    "utf8mb4": "utf-8",
    "windows-31j": "cp932",
    "windows-936": "gb18030",
    "windows-949": "cp949",
    "x-gbk": "gb18030",
    "x-windows-949": "cp949",
    "big5": "big5hkscs",
}
# Codecs that are no charset of mail: some take quadratic time, some read escapes of a programming language.
_NOT_CHARSETS = frozenset(("idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "mbcs", "oem"))
# Declared by programs that have not looked: their text is what its bytes say.
_NO_CLAIM = frozenset(("ascii", "utf-8"))
_HALVES = re.compile("[\ud800-\udfff]")
_GUESSED_FROM = 4096  # bytes
_GUESSABLE = 24  # bytes; of fewer a guess is worth nothing


def decode(data: bytes, declared: str | None = None) -> str:
    """The text of `data` in normal form C: as declared, else as UTF-8, else as its bytes look. Never raises.

    What cannot be read in any way becomes U+FFFD.
    """
    text = _decoded(data, declared)
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _decoded(data: bytes, declared: str | None) -> str:
    name = _codec(declared) if declared else None
    if name in (None, "ascii") and data.isascii():
        return data.decode("iso2022_jp_ext" if _is_iso_2022(data) else "ascii", "replace")
    if name and name != "ascii":
        try:
            return _whole(data.decode(name))
        except (UnicodeError, ValueError):
            if _mostly_readable(data, name):
                return _whole(data.decode(name, "replace"))
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode(_guess(data) if name in (None, *_NO_CLAIM) else "cp1252", "replace")


def _whole(text: str) -> str:
    """The text without halves of surrogate pairs, which UTF-7 may hold and nobody can write."""
    return _HALVES.sub("\ufffd", text) if not text.isascii() else text


@lru_cache(256)
def _codec(declared: str) -> str | None:
    """The name of Python's codec for a charset as mails write it; None if there is none."""
    name = declared.strip().strip("\"'").lower().removeprefix("charset=").strip("\"' ")
    try:
        found = codecs.lookup(_ALIASES.get(name, name))
    except (LookupError, ValueError):
        return None
    # `_is_text_encoding` is how the standard library itself keeps zlib and its like out of `bytes.decode`.
    is_text = getattr(found, "_is_text_encoding", True)
    return found.name if is_text and found.name.replace("_", "-") not in _NOT_CHARSETS else None


def _mostly_readable(data: bytes, name: str) -> bool:
    """Whether `data` is in this charset but for a few broken places, such as a cut last character."""
    head = data[:_GUESSED_FROM]
    try:
        text = head.decode(name, "replace")
    except (UnicodeError, ValueError):
        return False
    foreign = sum(not character.isascii() for character in text)
    return text.count("\ufffd") * 3 <= foreign


def _is_iso_2022(data: bytes) -> bool:
    """Whether escape sequences switch to a Japanese character set and back."""
    return b"\x1b$" in data and b"\x1b(" in data


def _guess(data: bytes) -> str:
    """The likeliest charset of bytes that are not UTF-8."""
    if len(data) < _GUESSABLE:
        return "cp1252"
    head = data[:_GUESSED_FROM]
    likeliest = max(_CANDIDATES, key=lambda candidate: _likeness(head, candidate))
    return likeliest if _likeness(head, likeliest) > 0 else "cp1252"


# The letters that make up most of a text in these scripts, in their order of frequency.
_CYRILLIC = frozenset("оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфё")
_COMMON_HAN = frozenset(
    "的一是了我不人在他有这這个個上们們来來到时時大地为為子中你说說生国國年着就那和要她出也得里后後自以会會家可下而过過天"
    "去能对對小多然于於心学學么之都好看起发發当當没沒成只如事把还還用第样樣道想作种開开请請您件邮郵谢謝公司"
)
_CANDIDATES = ("cp1252", "koi8-r", "cp1251", "gb18030", "big5hkscs", "cp932", "cp949", "euc_jp")


def _likeness(head: bytes, candidate: str) -> float:
    """How much of the text that is not ASCII looks like a language of the charset: from 0 to 1, negative if broken."""
    text = head.decode(candidate, "replace")
    foreign = [character for character in text[:-1] if not character.isascii()]
    if not foreign:
        return 0.0
    if foreign.count("\ufffd") * 50 > len(foreign):
        return -1.0
    letters = sum(character.isalpha() for character in text)
    match candidate:
        case "koi8-r" | "cp1251" if 2 * len(foreign) < letters:
            return 0.0  # nobody mixes in so many Latin letters
        case "koi8-r" | "cp1251":
            typical = sum(character in _CYRILLIC for character in foreign)
        case "gb18030" | "big5hkscs":
            return 3 * sum(character in _COMMON_HAN for character in foreign) / len(foreign)
        case "cp932" | "euc_jp":
            # Half-width katakana is what other charsets turn into; nobody writes it.
            typical = sum("\u3040" <= c <= "\u30ff" for c in foreign) * 2 - sum(
                "\uff61" <= c <= "\uff9f" for c in foreign
            )
        case "cp949":
            typical = sum("\uac00" <= character <= "\ud7a3" for character in foreign)
        case _:
            # In a western text most letters are ASCII, and what is not stands among them.
            western = sum(
                character in "àâäáãåæçéèêëíìîïñóòôöõøúùûüßÀÂÄÁÅÆÇÉÈÊËÍÑÓÖØÚÜ«»’‘“”–—…€·°§®©™•" for character in foreign
            )
            return 0.9 * western / len(foreign) if letters > 3 * len(foreign) else 0.2 * western / len(foreign)
    return min(typical / len(foreign), 1.0)
