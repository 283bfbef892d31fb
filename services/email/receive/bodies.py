"""The words of a mail out of its segments: as text and as harmless html, what is new apart from what is quoted."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from services.email.receive import markup, replies
from services.email.receive.contents import Contents, Segment
from services.email.receive.parsed import Body, File

if TYPE_CHECKING:
    from services.email.receive.layout import Laid

_LONGEST = 2 * 1024 * 1024  # characters of all segments together
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_MAY_QUOTE = re.compile(
    r"quote|divrplyfwdmsg|appendonsend|olk_src|stopspelling|border-top|<includetail|ref|reply|zwchr|forward|messageheader"
)

Inline = Callable[[str], str | None]


def inline_name(index: int) -> str:
    """What html calls the file at `index` until its attachment has an id."""
    return f"cid:part-{index}"


class _Html:
    """The html of a segment with its shape, which says what may be done with it."""

    def __init__(self, source: str | None, names: Inline) -> None:
        self.source = (source or "").strip()
        self._shape = markup.shape_of(self.source)
        self._names = names

    def harmless(self, source: str | None = None) -> str:
        """This html, or a part of it, as it may be shown."""
        wanted = self.source if source is None else source
        return _clean(markup.harmless(wanted, self._names)) if wanted and self._shape.is_bearable else ""

    def text(self) -> str:
        if not self._shape.is_tree:
            return _clean(markup.without_tags(self.source))
        from services.email.receive import layout  # lxml costs tens of MiB: most mail does not need it

        return markup.tidy(_clean(layout.text_of(self.source)))

    def split(self) -> Laid | None:
        """Its new and its quoted part, if they can be told."""
        if not self._shape.is_tree or not _MAY_QUOTE.search(self.source.lower()):
            return None
        from services.email.receive import layout

        return layout.split(self.source)

    def signatures(self) -> list[str]:
        """What the client that wrote it has marked as signatures."""
        if not self._shape.is_tree or "signature" not in self.source.lower():
            return []
        from services.email.receive import layout

        return list(layout.signatures(self.source))

    def split_at(self, parts: replies.Parts) -> Laid | None:
        """Its new and its quoted part by what its text shows."""
        if not parts.quoted or not self.source or not self._shape.is_tree:
            return None
        from services.email.receive import layout

        return layout.split_at(self.source, parts.quoted, f"{parts.text}\n{parts.signature}")


def body_of(words: Contents) -> Body:
    """The body of a mail."""
    names = _names(words.files)
    segments = [segment for segment in words.segments if (segment.plain or "").strip() or (segment.html or "").strip()]
    if len(segments) == 1:
        return _alone(segments[0], names)
    pages = [_Html(segment.html, names) for segment in segments]
    texts = [_plain(one) or page.text() for one, page in zip(segments, pages, strict=True)]
    full = "\n\n".join(filter(None, texts))[:_LONGEST]
    parts = replies.split(full)
    shown = [page.harmless() or _paragraph(text) for page, text in zip(pages, texts, strict=True)]
    has_html = any(page.source for page in pages)
    return Body(parts.text, full, parts.quoted, parts.signature, "\n".join(shown)[:_LONGEST] if has_html else "")


def _alone(segment: Segment, names: Inline) -> Body:
    page = _Html(segment.html, names)
    plain = _plain(segment)
    laid = page.split() if page.source else None
    if laid and not plain:
        new, older = (markup.tidy(_clean(one)) for one in laid.text)
        full = f"{new}\n\n{older}"
        parts = replies.split(new)
        parts = parts._replace(quoted="\n\n".join(filter(None, (parts.quoted, older))))
    else:
        full = plain or page.text()
        parts = replies.split(full)
    if not parts.signature:
        parts = replies.signed_with(parts, page.signatures())
    laid = laid or page.split_at(parts)
    if laid and parts.quoted:
        shown, quoted = map(page.harmless, laid.html)
    else:
        shown, quoted = page.harmless(), ""
    return Body(parts.text, full, parts.quoted, parts.signature, shown, quoted)


def _plain(segment: Segment) -> str:
    return markup.tidy(_clean(segment.plain or ""))


def _clean(text: str) -> str:
    """Without control characters, which are in no text that people read."""
    return _CONTROLS.sub("", text)


def _paragraph(text: str) -> str:
    return f"<p>{html.escape(text.strip()).replace(chr(10), '<br>')}</p>"


def _names(files: list[File]) -> Inline:
    """What a Content-ID becomes. Some programs write the name of the file where the id belongs."""
    known = {file.name: index for index, file in reversed(list(enumerate(files))) if file.name}
    known |= {file.content_id: index for index, file in reversed(list(enumerate(files))) if file.content_id}
    return lambda said: inline_name(known[said]) if said in known else None
