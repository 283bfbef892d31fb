"""Subjects: what stands before one when it is answered or forwarded, in the languages mail clients speak."""

from __future__ import annotations

import re
import unicodedata

# RFC 5256 §2.1 knows Re, Fw and Fwd; clients write the others. One or two letters are taken only as listed here:
# `IT: new laptops` is a subject.
_REPLY = """
re aw sv vs res rif ref r antw odp ynt atb bls balas απ σχετ ответ відп 回复 回覆 答复 答覆 返信 회신 رد hồi.âm trả.lời
"""
_FORWARD = """
fwd? wg vb vl enc i tr rv doorst pd ilt i̇lt redir továbbítás πρθ пересл переслать 转发 轉寄 轉發 転送 전달 إعادة.توجيه
"""
_WORDS = "|".join(f"{_REPLY} {_FORWARD}".split())
_COUNT = r"(?:\[\d{1,3}\]|\(\d{1,3}\)|\^\d{1,3}|\*\d{1,3})?"
_PREFIX = re.compile(rf"\s*(?:{_WORDS})\s?{_COUNT}\s?[:：]\s*", re.IGNORECASE)
_TAG = re.compile(r"\s*\[(?:ext|external|extern|externe|externo|esterno)\]\s*", re.IGNORECASE)
_BLANKS = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_MOST_PREFIXES = 50


def one_line(text: str) -> str:
    """The text on one line, as a header has room for it: no control character, no line break, no double blank."""
    return _BLANKS.sub(" ", text).strip()


def base_subject(subject: str) -> str:
    """The subject without what replies and forwarded mail put before it, as people read it."""
    at = 0
    for _ in range(_MOST_PREFIXES):
        found = _PREFIX.match(subject, at) or _TAG.match(subject, at)
        if found is None or found.end() == at:
            break
        at = found.end()
    return subject[at:].strip()


def same_subject(subject: str) -> str:
    """What two subjects of the same matter have in common: for comparison only."""
    return one_line(unicodedata.normalize("NFC", base_subject(subject))).casefold()


def reply_subject(subject: str) -> str:
    """The subject of an answer: exactly one `Re:`, which every client knows, whatever stood there."""
    return f"Re: {base_subject(one_line(subject))}".rstrip()
