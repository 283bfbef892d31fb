"""Formatted text as html, html as text, and the files that html shows."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from html import escape, unescape
from itertools import pairwise
from urllib.parse import unquote, urlsplit

from shared.contract.content import Span, SpanKind

_TAGS: Mapping[SpanKind, str] = {
    SpanKind.BOLD: "b",
    SpanKind.ITALIC: "i",
    SpanKind.UNDERLINE: "u",
    SpanKind.STRIKETHROUGH: "s",
    SpanKind.CODE: "code",
    SpanKind.PRE: "pre",
    SpanKind.QUOTE: "blockquote",
}
_SCHEMES = frozenset({"http", "https", "mailto", "tel"})
_CID = re.compile(r"""(?<=["'(=\s])cid:([^"'<>()\s]{1,500})""", re.IGNORECASE)
_ENDS_LINE = re.compile(r"/?(?:p|div|tr|li|h[1-6]|blockquote|pre|table|ul|ol|br|hr)\b", re.IGNORECASE)
_HIDDEN = re.compile(r"(?:head|script|style|title|template)\b", re.IGNORECASE)
_BLANKS = re.compile(r"[ \t\r\n\f]+")
_EMPTY_LINES = re.compile(r"\n{3,}")


def formatted(text: str, spans: Sequence[Span]) -> str | None:
    """The text as html with its spans, or None where none of them would show."""
    shown = [(span, *_tag(span)) for span in spans if span.offset < len(text)]
    shown = [entry for entry in shown if entry[1]]
    if not shown:
        return None
    shown.sort(key=lambda entry: (entry[0].offset, -entry[0].length))
    borders = sorted({0, len(text), *(at for span, _, _ in shown for at in _ends(span, len(text)))})
    pieces: list[str] = []
    begins, covering = shown[::-1], []
    for start, end in pairwise(borders):
        while begins and begins[-1][0].offset <= start:
            covering.append(begins.pop())
        covering = [entry for entry in covering if entry[0].offset + entry[0].length > start]
        # Of one kind, only one: a link in a link is none.
        tags = {span.kind: (opening, closing) for span, opening, closing in covering}.values()
        pieces += [opening for opening, _ in tags]
        pieces.append(escape(text[start:end]).replace("\n", "<br>\n"))
        pieces += [closing for _, closing in reversed(tags)]
    return f"<div>{''.join(pieces)}</div>"


def _ends(span: Span, length: int) -> tuple[int, int]:
    return span.offset, min(span.offset + span.length, length)


def _tag(span: Span) -> tuple[str, str]:
    if tag := _TAGS.get(span.kind):
        return f"<{tag}>", f"</{tag}>"
    if span.kind is SpanKind.LINK and span.url and _is_safe(span.url):
        return f'<a href="{escape(span.url)}">', "</a>"
    return "", ""


def _is_safe(url: str) -> bool:
    try:
        return urlsplit(url).scheme.lower() in _SCHEMES
    except ValueError:
        return False


def shows(html: str) -> set[str]:
    """The names that html shows files by: `cid:<name>` (RFC 2392)."""
    return {unquote(found[1]) for found in _CID.finditer(html)}


def renamed(html: str, name_of: Callable[[str], str | None]) -> str:
    """The html with other names for the files it shows, where there is one."""

    def name(found: re.Match[str]) -> str:
        new = name_of(unquote(found[1]))
        return f"cid:{new}" if new else found[0]

    return _CID.sub(name, html)


def as_text(html: str) -> str:
    """The words of html, a line for each of its blocks, for readers that show no html. One pass over it."""
    pieces: list[str] = []
    at, hidden = 0, ""
    while at < len(html):
        begin = html.find("<", at)
        if not hidden:
            pieces.append(_BLANKS.sub(" ", html[at : begin if begin >= 0 else None]))
        if begin < 0:
            break
        comment = html.startswith("<!--", begin)
        end = html.find("-->" if comment else ">", begin)
        if end < 0:
            if not comment:
                pieces.append(html[begin:])
            break
        tag = "" if comment else html[begin + 1 : min(end, begin + 40)]
        at = end + (3 if comment else 1)
        if hidden:
            hidden = "" if tag[:1] == "/" and tag[1:].lower().startswith(hidden) else hidden
        elif found := _HIDDEN.match(tag):
            hidden = found[0].lower()
        elif _ENDS_LINE.match(tag):
            pieces.append("\n")
    lines = [line.strip() for line in unescape("".join(pieces)).split("\n")]
    return _EMPTY_LINES.sub("\n\n", "\n".join(lines)).strip()
