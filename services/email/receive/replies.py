"""The new part of a reply, apart from what it quotes and from its signature: by structure, in any language.

Nothing is deleted: every line of a text is in one of the three. Where it cannot be told what answers what (answers
between quotes, a forwarded mail without a word of its own) everything stays the new part.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from services.email.receive.phrases import CLOSINGS, HEADER_LABELS, MOBILE, ORIGINAL, STARTERS, WROTE

_MOST_LINES = 20_000  # that are looked at
_MOST_LOOKED_AT = 1000  # of them closely
_LONGEST_LINE = 400  # characters of a line that may say who wrote what is quoted
_MOST_ATTRIBUTION_LINES = 4
_WRAPPED = 60  # characters; a shorter line was not broken for want of room
_MOST_SIGNATURE_LINES = 25
_LONGEST_SIGNATURE = 2000  # characters
_MOST_PARAGRAPHS = 50  # in which the footer of a telephone is looked for

# They turn the direction of reading, or take no room: mail clients put them around names and dates.
_INVISIBLE = dict.fromkeys([0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xFEFF])
_INVISIBLE |= dict.fromkeys([0xA0, 0x202F, 0x2007], " ")

_ADDRESS = re.compile(r"[^\s<>@()\[\]\"]+@[^\s<>@()\[\]\"]+\.\w|mailto:|<[^<>\s]+@")
_DAY = re.compile(
    r"\b(?:1[34]\d\d|19\d\d|2[05]\d\d)\b|\b\d{1,4}[./-]\s?\d{1,2}[./-]\s?\d{2,4}\b|\d\s?[年月日년월일]", re.UNICODE
)
_TIME = re.compile(r"\b\d{1,2}\s?[:.h時시]\s?\d{2}\b|\b\d{1,2}\s?[ap]\.?m\b")
_LABEL = re.compile(r"[\s|]*[*_]{0,2}([^\W\d_][^:：<>@\n]{0,30}?)[*_]{0,2}\s?[:：][*_]{0,2}(?:\s+|$|(?=\S))(.*)")
_RULE = re.compile(r"\s*(?:[_=—–*-]\s?){5,}\s*")
_TITLED_RULE = re.compile(r"\s*[-_=*—–#]{2,}\s*([^\s_=*—–#-].{0,120}?)\s*[-_=*—–#]{2,}\s*:?\s*")
_HINT = re.compile(r"[:：@\d]|^\s*[-_=*—–#]")
_QUOTED = re.compile(r"\s{0,3}(?:>|&gt;)|\s*\|\s?>")
_DELIMITER = re.compile(r"\s*--\s*")
_FOOTER_RULE = re.compile(r"\s*(?:_{20,}|-{20,}|={20,})\s*")


class Parts(NamedTuple):
    """A text in its parts; blank lines at their ends are left out."""

    text: str
    quoted: str = ""
    signature: str = ""


class _Cut(NamedTuple):
    """Where a quoted part begins, and where the words that announce it end."""

    start: int
    end: int


def split(text: str) -> Parts:
    """The parts of a text, whose lines end with `\\n`."""
    lines = text.split("\n")
    seen = [_visible(line) for line in lines[:_MOST_LINES]]
    cut = _announced(seen)
    if cut is not None and not _is_blank(seen[: cut.start]) and not _follows_marks(seen, cut.end):
        return _signed(lines[: cut.start], seen[: cut.start], lines[cut.start :])
    marked = _marked(seen, cut)
    if marked is None:
        return _signed(lines, seen, [])
    first, last = marked
    return _signed(lines[:first] + lines[last:], seen[:first] + seen[last:], lines[first:last])


def _visible(line: str) -> str:
    """A line as it is looked at: phrases are in lower case."""
    if len(line) > 2 * _LONGEST_LINE:
        return line
    return line.lower() if line.isascii() else line.translate(_INVISIBLE).lower()


def _is_blank(lines: list[str]) -> bool:
    return not any(line.strip() for line in lines)


def _joined(lines: list[str]) -> str:
    return "\n".join(lines).strip("\n")


# --------------------------------------------------------------------------------------------------- announcements


def _announced(lines: list[str]) -> _Cut | None:
    """The first place where something says that what follows is another message."""
    looked_at = 0
    for at, line in enumerate(lines):
        if not line or len(line) > _LONGEST_LINE or not _may_announce(lines, at):
            continue
        found = _titled_rule(lines, at) or _header_block(lines, at) or _attribution(lines, at)
        looked_at += 1
        if found is not None or looked_at == _MOST_LOOKED_AT:
            return found
    return None


def _may_announce(lines: list[str], at: int) -> bool:
    """Whether a line is worth a closer look: a rule, a label, something with a number or an address in it."""
    line = lines[at]
    if _QUOTED.match(line):
        return False
    return _HINT.search(line) is not None or _follows_marks(lines, at + 1)


def _titled_rule(lines: list[str], at: int) -> _Cut | None:
    """A line of dashes with words in it: `-----Original Message-----`."""
    if lines[at].lstrip()[:1] not in ("-", "_", "=", "*", "—", "–", "#"):
        return None
    found = _TITLED_RULE.fullmatch(lines[at])
    if found is None:
        return None
    title = found[1]
    says_so = ORIGINAL.search(title) or WROTE.search(title) or (_DAY.search(title) and _ADDRESS.search(title))
    if says_so or _labels(lines, _next(lines, at + 1))[0] >= 2:
        return _Cut(_with_rules_above(lines, at), at + 1)
    return None


def _header_block(lines: list[str], at: int) -> _Cut | None:
    """The header of the answered message, as Outlook writes it: lines of `label: value`."""
    label = _LABEL.match(lines[at])
    if label is None:
        return None
    count, end, block = _labels(lines, at)
    if count < 2:
        return None
    has_address, has_time = bool(_ADDRESS.search(block)), bool(_DAY.search(block) or _TIME.search(block))
    is_from = HEADER_LABELS.fullmatch(label[1].strip()) is not None
    start = _with_rules_above(lines, at)
    under_rule = start < at
    said = int(has_address) + int(has_time)
    certain = is_from and said + min(count, 3) >= 4
    likely = count >= 3 and has_address and has_time and ("<" in lines[at] or "mailto:" in lines[at] or under_rule)
    return _Cut(start, end) if certain or likely or (under_rule and has_address and has_time) else None


def _labels(lines: list[str], at: int) -> tuple[int, int, str]:
    """How many lines of `label: value` stand there, where they end, and all they say. Values may go on in the next."""
    count, wrapped, start = 0, 0, at
    while at < len(lines) and at - start < 15:
        line = lines[at]
        if len(line) <= 4 * _LONGEST_LINE and _LABEL.match(line) and not _is_url(line):
            count, wrapped = count + 1, 0
        elif count and line.strip() and wrapped < 2 and ("@" in line or line[:1] in " \t<;"):
            wrapped += 1
        elif count and not line.strip() and at + 1 < len(lines) and count < 3 and _LABEL.match(lines[at + 1]):
            pass  # clients that put a blank line between any two
        else:
            break
        at += 1
    return count, at, " ".join(lines[start:at])


def _is_url(line: str) -> bool:
    return line.lstrip().startswith(("http:", "https:"))


def _with_rules_above(lines: list[str], at: int) -> int:
    """The line, or the rules and the announcement that stand right above it."""
    start = at
    while (above := _previous(lines, start)) is not None and start - above <= 2:
        line = lines[above]
        if not (_RULE.fullmatch(line) or (line.rstrip().endswith(":") and len(line) < 60 and ORIGINAL.search(line))):
            break
        start = above
    return start


def _attribution(lines: list[str], at: int) -> _Cut | None:
    """`On … somebody wrote:` in up to four lines, the last of which is at `at`."""
    line = lines[at].rstrip().rstrip("*_")
    colon = line.endswith((":", "：", ":>"))
    wrote = WROTE.search(line)
    address = _ADDRESS.search(line)
    marks = _follows_marks(lines, at + 1)
    if not (colon or wrote or marks or (address and line[:1].isdigit())):
        return None
    start, facts = None, 0
    for first in range(at, max(-1, at - _MOST_ATTRIBUTION_LINES), -1):
        if not lines[first].strip() or len(lines[first]) > _LONGEST_LINE or _QUOTED.match(lines[first]):
            break
        block = " ".join(lines[first : at + 1])
        if start is None:
            if _says_who(block, colon, marks):
                start, facts = first, _facts(block)
        elif _facts(block) > facts or _is_wrapped_into(lines[first], lines[first + 1]):
            start, facts = first, _facts(block)
    return None if start is None else _Cut(start, at + 1)


def _facts(block: str) -> int:
    """How much of who, when and the verb is said."""
    return sum(map(bool, (_DAY.search(block), _ADDRESS.search(block), WROTE.search(block))))


def _says_who(block: str, colon: bool, marks: bool) -> bool:
    if len(block) > _LONGEST_LINE:
        return False
    day, time = _DAY.search(block), _TIME.search(block)
    wrote, address = WROTE.search(block), _ADDRESS.search(block)
    when = day or time
    if colon or marks:
        facts = sum(map(bool, (when, wrote, address)))
        return facts >= 2 or (marks and colon and (facts == 1 or ORIGINAL.search(block) is not None))
    stripped = block.strip()
    ends = (address and stripped.endswith((">", ")", "]"))) or (wrote and wrote.end() >= len(stripped) - 2)
    begins = STARTERS.match(stripped) or stripped[:1].isdigit()
    return bool(day and ends and begins and (address or wrote))


def _is_wrapped_into(above: str, below: str) -> bool:
    """Whether a line goes on in the next: it was broken because the next word had no room, or it begins a date."""
    if not above.strip() or _QUOTED.match(above):
        return False
    first_word = below.split(None, 1)[0] if below.strip() else ""
    begins = STARTERS.match(above.strip()) is not None and (
        _DAY.search(above) or _TIME.search(above) or any(map(str.isdigit, above))
    )
    broken = len(above) + len(first_word) >= 60 and len(above) <= 80 and above.rstrip()[-1:] not in ".!?:"
    return bool(begins) or (broken and bool(_DAY.search(above) or _TIME.search(above) or STARTERS.match(above.strip())))


def _follows_marks(lines: list[str], at: int) -> bool:
    following = _next(lines, at)
    return following < len(lines) and following - at <= 2 and _QUOTED.match(lines[following]) is not None


def _next(lines: list[str], at: int) -> int:
    while at < len(lines) and not lines[at].strip():
        at += 1
    return at


def _previous(lines: list[str], at: int) -> int | None:
    at -= 1
    while at >= 0 and not lines[at].strip():
        at -= 1
    return at if at >= 0 else None


# ---------------------------------------------------------------------------------------------------- quote marks


def _marked(lines: list[str], cut: _Cut | None) -> tuple[int, int] | None:
    """The range of the one quote that is marked with `>`; None where there is none, or where there are several.

    A lone line without a mark between marked ones is the end of a quoted line that was too long, if that is long.
    """
    runs: list[tuple[int, int]] = []
    at = cut.end if cut is not None else 0
    while (at := next((n for n in range(at, len(lines)) if _QUOTED.match(lines[at := n])), len(lines))) < len(lines):
        start = at
        while at < len(lines):
            if _QUOTED.match(lines[at]) or not lines[at].strip():
                at += 1
            elif at + 1 < len(lines) and len(lines[at - 1]) >= _WRAPPED and _QUOTED.match(lines[at + 1]):
                at += 2
            else:
                break
        runs.append((start, at))
    if not runs:
        return None
    start = cut.start if cut is not None else runs[0][0]
    rest = lines[runs[0][1] :]
    above, below = _is_blank(lines[:start]), _is_blank(rest)
    if len(runs) > 1 or (above and below) or (cut is None and not above and not below):
        return None
    return start, runs[0][1]


# ------------------------------------------------------------------------------------------------------ signatures


def _signed(lines: list[str], seen: list[str], quoted: list[str]) -> Parts:
    """The parts of a reply once its quoted part is known."""
    start = _signature(seen)
    if start is None:
        return Parts(_joined(lines), _joined(quoted))
    # A footer of a telephone with words below it: they are an older message without any header.
    end = _end_of_mobile(seen, start)
    older = lines[end:] if end is not None else []
    signature = lines[start:end] if end is not None else lines[start:]
    return Parts(_joined(lines[:start]), _joined([*older, *quoted]), _joined(signature))


def signed_with(parts: Parts, known: Iterable[str]) -> Parts:
    """The parts with the first of the known signatures that the new part ends with, if it is not all of it."""
    end = parts.text[-_LONGEST_SIGNATURE:]
    for one in known:
        length = _ends_with("".join(one[:_LONGEST_SIGNATURE].split()), end)
        above = parts.text[: len(parts.text) - length].rstrip(" \t\xa0")
        if length and above.endswith("\n") and above.strip():
            return parts._replace(text=above.rstrip(), signature=parts.text[-length:])
    return parts


def _ends_with(words: str, text: str) -> int:
    """How many characters at the text's end are these words, whatever white space is in them; 0 if others are."""
    at = len(text)
    for character in reversed(words):
        at -= 1
        while at >= 0 and text[at].isspace():
            at -= 1
        if at < 0 or text[at] != character:
            return 0
    return len(text) - at


def _signature(lines: list[str]) -> int | None:
    """The line with which the signature begins."""
    found = _mobile(lines)
    until = len(lines) if found is None else found
    for at in range(max(0, until - _MOST_SIGNATURE_LINES - 10), until):
        after = [line for line in lines[at + 1 : until] if line.strip()]
        if not after or len(after) > _MOST_SIGNATURE_LINES or _is_blank(lines[:at]):
            continue
        line = lines[at]
        if _DELIMITER.fullmatch(line):
            return at
        if _FOOTER_RULE.fullmatch(line) and len(after) <= 8 and any("http" in one or "@" in one for one in after):
            return at
        if 2 <= len(after) <= 8 and max(map(len, after)) <= 80 and CLOSINGS.fullmatch(line.strip()):
            return at
    above = None if found is None else _previous(lines, found)
    if above is not None and _DELIMITER.fullmatch(lines[above]) and not _is_blank(lines[:above]):
        return above
    return found


def _mobile(lines: list[str]) -> int | None:
    """`Sent from my …` in a paragraph of its own."""
    looked_at = 0
    for at in range(len(lines) - 1, -1, -1):
        apart = at == 0 or at >= len(lines) - 3 or not lines[at - 1].strip()
        if not apart or not 0 < len(lines[at].strip()) <= 120:
            continue
        looked_at += 1
        if MOBILE.fullmatch(lines[at].strip()):
            return at
        if looked_at == _MOST_PARAGRAPHS:
            break
    return None


def _end_of_mobile(lines: list[str], start: int) -> int | None:
    first = _next(lines, start + 1) if _DELIMITER.fullmatch(lines[start]) else start
    if first == len(lines) or not MOBILE.fullmatch(lines[first].strip()):
        return None
    end = first + 1
    while end < len(lines) and lines[end].strip():
        end += 1
    return end if not _is_blank(lines[end:]) else None
