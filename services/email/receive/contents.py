"""Which parts of a mail are its words and which are files, in the order in which people see them."""

from __future__ import annotations

import mimetypes
import re
from dataclasses import dataclass, field

from services.email.receive import calendar, headers, markup, tnef, uuencode
from services.email.receive.charsets import decode
from services.email.receive.mime import Part, safe_name
from services.email.receive.parsed import File
from services.email.receive.transfer import IDENTITY, UUENCODE, Step, reference
from shared.media.sniff import HEAD, sniff

LONGEST_TEXT = 1024 * 1024  # bytes
MOST_FILES = 500
_LARGEST_TNEF = 24 * 1024 * 1024  # bytes; a larger one stays the file that it is

# What a mail consists of beside its words: reports for machines, signatures of what stands beside them.
_FOR_MACHINES = frozenset((
    "message/delivery-status", "message/global-delivery-status", "message/disposition-notification",
    "message/global-disposition-notification", "message/feedback-report", "text/rfc822-headers",
    "message/global-headers", "message/rfc822-headers",
))  # fmt: skip
_MAILS = frozenset(("message/rfc822", "message/global", "message/news"))
_TNEF = frozenset(("application/ms-tnef", "application/vnd.ms-tnef"))
_ENCRYPTED = frozenset(("application/pkcs7-mime", "application/x-pkcs7-mime", "application/pgp-encrypted"))
_EXTENSIONS = {"message/rfc822": ".eml", "text/html": ".html", "text/plain": ".txt"}
_CID = re.compile(r"cid:([^\"'\s>)]{1,300})", re.I)


@dataclass(slots=True)
class Segment:
    """A stretch of the body: as plain text, as html, or as both where they say the same."""

    plain: str | None = None
    html: str | None = None


@dataclass(slots=True)
class Contents:
    """The words and the files of a mail."""

    segments: list[Segment] = field(default_factory=list)
    files: list[File] = field(default_factory=list)
    instead: list[Segment] = field(default_factory=list)  # what people read where there are no words


def contents(root: Part) -> Contents:
    """The contents of a mail. Files beyond the first 500 are left to its raw form."""
    reader = _Reader()
    reader.read(root)
    found = reader.found
    if not any((s.plain or "").strip() or (s.html or "").strip() for s in found.segments):
        found.segments += found.instead[:5]
    named = {cid for s in found.segments if s.html for cid in _CID.findall(s.html)}
    if named:
        found.files = [
            File(f.name, f.type, f.size, f.reference, f.sniffed, f.content_id, inline=True)
            if f.content_id in named or f.name in named
            else f
            for f in found.files
        ]
    return found


class _Reader:
    def __init__(self) -> None:
        self.found = Contents()

    def read(self, part: Part) -> None:
        if not part.children:
            self._leaf(part)
        elif part.type == "multipart/alternative":
            self._alternative(part)
        elif part.type == "multipart/signed":
            # The first part is what was signed, and all there is to read.
            self.read(part.children[0])
            for signature in part.children[1:]:
                self._file(signature)
        elif part.type == "multipart/encrypted":
            self._instead("This message is encrypted.")
            for child in part.children:
                if child.type not in _ENCRYPTED or child.type.endswith("mime"):
                    self._file(child)
        else:
            for child in part.children:
                self.read(child)

    def _alternative(self, part: Part) -> None:
        """Several forms of the same words: the plain one and the richest."""
        inner = _Reader()
        has_plain = any(child.type == "text/plain" for child in part.children)
        for child in part.children:
            if not (has_plain and child.type in _OTHER_FORMS):
                inner.read(child)
        plains = [s.plain for s in inner.found.segments if s.plain is not None]
        htmls = [s.html for s in inner.found.segments if s.html is not None]
        if plains or htmls:
            both = Segment("\n".join(plains) if plains else None, "\n".join(htmls) if htmls else None)
            self.found.segments.append(both)
        self.found.files += inner.found.files
        self.found.instead += inner.found.instead

    def _instead(self, notice: str) -> None:
        self.found.instead.append(Segment(plain=notice))

    def _leaf(self, part: Part) -> None:
        kind = part.type
        if kind in _FOR_MACHINES and not part.filename:
            return
        if kind == "message/partial":
            self._instead("This is one piece of a message that was sent in several.")
            self._file(part)
        elif kind in _TNEF or (kind == "application/octet-stream" and part.filename.lower() == "winmail.dat"):
            self._tnef(part)
        elif part.too_deep:
            self._instead("This message is nested too deeply to be shown.")
            self._file(part)
        elif part.is_multipart:
            # A multipart whose boundary is nowhere: its words, if it has any.
            self.found.segments.append(Segment(plain=part.text(LONGEST_TEXT)))
        elif kind == "text/html" and not self._is_file(part):
            self._html(part)
        elif kind == "text/calendar":
            self._instead(calendar.summary(part.text(LONGEST_TEXT)))
            self._file(part)
        elif kind.startswith("text/") and kind in _READABLE and not self._is_file(part):
            self._plain(part)
        else:
            if kind in _ENCRYPTED:
                self._instead(_sealed(part))
            self._file(part)

    def _is_file(self, part: Part) -> bool:
        """Text is a file where it is said to be one, or has a name and is not the first thing to read."""
        if part.disposition == "attachment":
            return bool(part.filename) or bool(self.found.segments)
        return bool(part.filename) and (bool(self.found.segments) or part.disposition == "inline")

    def _plain(self, part: Part) -> None:
        text = part.text(LONGEST_TEXT)
        if part.encoding == UUENCODE:
            self._file(part)
            return
        if part.type == "text/plain" and part.parameters.get("format", "").lower() == "flowed":
            text = unflowed(text, delsp=part.parameters.get("delsp", "").lower() == "yes")
        if uuencode.may_hold(text):
            text = self._without_uuencoded(part)
        if part.type == "text/enriched":
            text = _enriched(text)
        self.found.segments.append(Segment(plain=text))
        self._file_too(part, LONGEST_TEXT)

    def _without_uuencoded(self, part: Part) -> str:
        """The words of a text with uuencoded files in it; the files are found in the bytes, where references point."""
        data = part.data(uuencode.LONGEST)
        words, found = uuencode.extract(data)
        for one in found:
            inner = Step(one.start, one.end, UUENCODE)
            if part.encoding == IDENTITY:
                steps = [Step(part.start + inner.start, part.start + inner.end, UUENCODE)]
            else:
                steps = [part.step, inner]
            self._add(File(safe_name(one.name), "", one.size, reference(*steps), sniff(one.head, one.name)))
        return decode(words, part.charset).replace("\r\n", "\n").replace("\r", "\n")

    def _html(self, part: Part) -> None:
        self.found.segments.append(Segment(html=part.text(markup.LONGEST)))
        self._file_too(part, markup.LONGEST)

    def _file_too(self, part: Part, most: int) -> None:
        """Words are a file as well, where they have a name, or are more than is read."""
        if part.filename or (part.end - part.start > most and part.size() > most):
            self._file(part)

    def _tnef(self, part: Part) -> None:
        """What is in a winmail.dat; the file itself where that cannot be read."""
        size = part.size()
        opened = tnef.read(part.data(_LARGEST_TNEF)) if size <= _LARGEST_TNEF else None
        if opened is None:
            self._file(part)
            return
        if opened.text or opened.html:
            self.found.instead.append(Segment(opened.text or None, opened.html or None))
        for one in opened.files:
            steps = (part.step, Step(one.start, one.end, IDENTITY))
            name = safe_name(one.name)
            self._add(
                File(name, one.type, one.end - one.start, reference(*steps), sniff(one.head, name), one.content_id)
            )

    def _file(self, part: Part) -> None:
        if len(self.found.files) >= MOST_FILES:
            return
        kind = part.type
        name = part.filename or (safe_name(_subject(part)) + ".eml" if kind in _MAILS and _subject(part) else "")
        sniffed = None if kind.startswith(("message/", "multipart/")) else sniff(part.data(HEAD), name)
        if not name:
            name = _unnamed(kind, sniffed)
        claimed = kind if part.head.has("content-type") or kind != "text/plain" else ""
        self._add(File(name, claimed, part.size(), reference(part.step), sniffed, part.content_id or None))

    def _add(self, file: File) -> None:
        if len(self.found.files) < MOST_FILES:
            self.found.files.append(file)


_READABLE = frozenset(("text/plain", "text/enriched", "text/richtext", "text/markdown"))
# The same words once more, for programs that want them so.
_OTHER_FORMS = frozenset(("text/enriched", "text/richtext", "text/markdown", "text/x-amp-html", "text/watch-html"))


def _subject(part: Part) -> str:
    inner = headers.read_head(part.raw, part.start, part.end, outermost=True)
    return headers.text(inner.first("subject"))[:80]


def _unnamed(kind: str, sniffed: str | None) -> str:
    if kind == "text/calendar":
        return "invite.ics"
    extension = _EXTENSIONS.get(kind) or mimetypes.guess_extension(sniffed or kind) or ""
    return f"{'message' if kind in _MAILS else 'attachment'}{extension}"


def _sealed(part: Part) -> str:
    if part.type == "application/pgp-encrypted" or part.parameters.get("smime-type", "") != "signed-data":
        return "This message is encrypted."
    return "This message is signed, and its text is inside the signature."


_ENRICHED_TAG = re.compile(r"<(<)|</?[a-z][^>\n]{0,60}>", re.I)


def _enriched(text: str) -> str:
    """Text of RFC 1896: commands in angle brackets, a literal bracket doubled."""
    return _ENRICHED_TAG.sub(
        lambda tag: tag[1] or "", re.sub(r"<param>[^<]{0,200}</param>", "", text, flags=re.I | re.S)
    )


def unflowed(text: str, *, delsp: bool) -> str:
    """`format=flowed` (RFC 3676) with its soft line breaks taken out, quotes kept apart by their depth."""
    done: list[list[str]] = []
    open_depth: int | None = None
    for line in text.split("\n"):
        stripped = line.lstrip(">")
        depth = len(line) - len(stripped)
        words = stripped[1:] if stripped.startswith(" ") else stripped
        if open_depth == depth and done:
            done[-1].append(words)
        else:
            done.append([">" * depth + (" " if depth and words else ""), words])
        soft = words.endswith(" ") and words != "-- "
        if soft and delsp:
            done[-1][-1] = words[:-1]
        open_depth = depth if soft else None
    return "\n".join("".join(pieces) for pieces in done)
