"""The words of a mail out of its segments: as text and as harmless html, what is new apart from what is quoted."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

from services.email.receive import markup, replies
from services.email.receive.contents import Contents, Segment
from services.email.receive.parsed import Body, File

_LONGEST = 2 * 1024 * 1024  # characters of all segments together
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_MAY_QUOTE = re.compile(
    r"<blockquote|quote|divrplyfwdmsg|appendonsend|olk_src|stopspelling|border-top|<includetail|ref", re.I
)

Inline = Callable[[str], str | None]


def inline_name(index: int) -> str:
    """What html calls the file at `index` until its attachment has an id."""
    return f"cid:part-{index}"


def body_of(words: Contents) -> Body:
    """The body of a mail."""
    names = _names(words.files)
    segments = [segment for segment in words.segments if (segment.plain or "").strip() or (segment.html or "").strip()]
    if len(segments) == 1:
        return _alone(segments[0], names)
    full = "\n\n".join(filter(str.strip, map(_text, segments)))[:_LONGEST]
    parts = replies.split(full)
    shown = ""
    if any(segment.html for segment in segments):
        shown = "\n".join(_harmless(one.html, names) if one.html else _paragraph(one.plain or "") for one in segments)
    return Body(parts.text, full, parts.quoted, parts.signature, shown[:_LONGEST])


def _alone(segment: Segment, names: Inline) -> Body:
    source = (segment.html or "").strip()
    plain = markup.tidy(_clean(segment.plain or ""))
    shape = markup.shape_of(source)
    laid = None
    if source and shape.is_tree and _MAY_QUOTE.search(source):
        from services.email.receive import layout  # lxml costs tens of MiB: most mail does not need it

        laid = layout.split(source)
    if plain.strip():
        parts = replies.split(plain)
        shown, quoted = (laid.new, laid.quoted) if laid and parts.quoted else (source, "")
        full = plain
    elif laid:
        new, older = (markup.tidy(_clean(one)) for one in (laid.new_text, laid.quoted_text))
        parts = replies.split(new)
        parts = parts._replace(quoted="\n\n".join(filter(None, (parts.quoted, older))))
        shown, quoted, full = laid.new, laid.quoted, f"{new}\n\n{older}"
    else:
        full = _text(segment)
        parts = replies.split(full)
        shown, quoted = source, ""
    return Body(
        parts.text, full, parts.quoted, parts.signature, _harmless(shown, names), _harmless(quoted, names)
    )  # fmt: skip


def _text(segment: Segment) -> str:
    """A segment as text: the plain form, where there is one with words in it."""
    plain = markup.tidy(_clean(segment.plain or ""))
    if plain.strip() or not segment.html:
        return plain
    if not markup.shape_of(segment.html).is_tree:
        return markup.without_tags(_clean(segment.html))
    from services.email.receive import layout

    return markup.tidy(_clean(layout.text_of(segment.html)))


def _clean(text: str) -> str:
    """Without control characters, which are in no text that people read."""
    return _CONTROLS.sub("", text)


def _harmless(source: str, names: Inline) -> str:
    return markup.harmless(source, names) if source and markup.shape_of(source).is_bearable else ""


def _paragraph(text: str) -> str:
    return f"<p>{html.escape(text.strip()).replace(chr(10), '<br>')}</p>"


def _names(files: list[File]) -> Inline:
    """What a Content-ID becomes. Some programs write the name of the file where the id belongs."""
    known = {file.name: index for index, file in reversed(list(enumerate(files))) if file.name}
    known |= {file.content_id: index for index, file in reversed(list(enumerate(files))) if file.content_id}
    return lambda said: inline_name(known[said]) if said in known else None
