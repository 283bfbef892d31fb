"""Mails: written as people's clients write them, read as they read them, and checked as strict servers do."""

from __future__ import annotations

import email
import email.policy
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage, MIMEPart
from email.utils import format_datetime, make_msgid
from html import escape
from typing import Any

from .upload import Upload

Row = dict[str, Any]
ONCE = frozenset(
    {"date", "from", "sender", "reply-to", "to", "cc", "subject", "message-id", "in-reply-to", "references"}
)
LONGEST_LINE = 998
_ID = re.compile(r"<([^<>\s]+@[^<>\s]+)>")
_QUOTED = re.compile(r"^(>.*|On .* wrote:)$")


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail as it went over the wire. `outgoing`: an account has sent it. `account` and `person` are addresses."""

    id: str
    account: str
    person: str
    outgoing: bool
    at: float
    raw: bytes
    envelope: Row = field(default_factory=dict)

    @property
    def size(self) -> int:
        return len(self.raw)

    def read(self) -> EmailMessage:
        message = email.message_from_bytes(self.raw, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        return message

    def row(self) -> Row:
        """The mail as a client shows it."""
        message = self.read()
        plain, html = message.get_body(("plain",)), message.get_body(("html",))
        return {
            "id": self.id,
            "outgoing": self.outgoing,
            "at": self.at,
            "subject": str(message["Subject"] or ""),
            "from": str(message["From"] or ""),
            "to": str(message["To"] or ""),
            "cc": str(message["Cc"] or ""),
            "text": _content(plain),
            "html": _content(html) or None,
            "message_id": _named(message["Message-ID"]),
            "reply_to": _named(message["In-Reply-To"]),
            "automatic": str(message["Auto-Submitted"] or "no") != "no",
            "files": [self._file(index, part) for index, part in enumerate(self.files())],
        }

    def _file(self, index: int, part: EmailMessage) -> Row:
        return {
            "id": f"{self.id}:{index}",
            "name": part.get_filename() or "file",
            "type": part.get_content_type(),
            "size": len(part.get_payload(decode=True) or b""),
            "inline": part.get_content_disposition() == "inline",
        }

    def files(self) -> list[EmailMessage]:
        """The parts that are files, shown inline or not."""
        found = [part for part in self.read().walk() if isinstance(part, EmailMessage) and not part.is_multipart()]
        return [part for part in found if part.get_filename() or part.get_content_maintype() != "text"]


def _content(part: MIMEPart | None) -> str:
    if part is None:
        return ""
    said: str = part.get_content()
    return said.replace("\r\n", "\n").removesuffix("\n")


def _named(value: object) -> str | None:
    found = _ID.search(str(value or ""))
    return found[1] if found else None


def written(
    person: tuple[str, str],
    account: str,
    text: str,
    at: float,
    *,
    subject: str = "",
    answers: Mail | None = None,
    html: str | None = None,
    file: Upload | None = None,
) -> bytes:
    """A mail as somebody's client writes it: an answer quotes what it answers and names it."""
    name, address = person
    message = EmailMessage(policy=email.policy.SMTP)
    message["From"] = Address(name, addr_spec=address)
    message["To"] = account
    message["Date"] = format_datetime(datetime.fromtimestamp(at, UTC))
    message["Message-ID"] = make_msgid(domain=address.rpartition("@")[2])
    quoted = ""
    if answers is not None:
        before = answers.read()
        parent = str(before["Message-ID"] or "")
        message["In-Reply-To"] = parent
        message["References"] = " ".join([*str(before["References"] or "").split(), parent])
        said = [line for line in answers.row()["text"].split("\n") if not _QUOTED.match(line)]
        quoted = "\n\nOn Monday, {} wrote:\n{}".format(before["From"], "\n".join(f"> {line}" for line in said))
        old = str(before["Subject"] or "")
        subject = subject or (old if old.lower().startswith("re:") else f"Re: {old}")
        if str(before["Reply-To"] or ""):
            message.replace_header("To", str(before["Reply-To"]))
    message["Subject"] = subject or "Hello"
    message.set_content(text + quoted)
    if html is not None:
        message.add_alternative(html, subtype="html")
    elif answers is not None:
        shown = escape(text).replace("\n", "<br>")
        gmail = f'<div class="gmail_quote">On Monday, wrote:<br><blockquote>{escape(quoted)}</blockquote></div>'
        message.add_alternative(f'<div dir="ltr">{shown}</div><br>{gmail}', subtype="html")
    if file is not None:
        main, _, sub = file.mime_type.partition("/")
        message.add_attachment(file.content, maintype=main, subtype=sub or "octet-stream", filename=file.filename)
    return bytes(message)


def problems(raw: bytes) -> Iterator[str]:
    """What a strict server objects to: RFC 5322, RFC 2045, and what is known to get mail into the wrong folder."""
    if b"\n" in raw.replace(b"\r\n", b"") or b"\r" in raw.replace(b"\r\n", b""):
        yield "a line does not end in CRLF"
    if any(len(line) > LONGEST_LINE for line in raw.split(b"\r\n")):
        yield "a line has more than 998 octets"
    head = raw.partition(b"\r\n\r\n")[0]
    if any(byte > 126 for byte in head):
        yield "a header field has octets beyond ASCII"
    message = email.message_from_bytes(raw, policy=email.policy.default)
    names = Counter(name.lower() for name in message)
    yield from (f"{name} is missing" for name in ("date", "from", "message-id", "mime-version") if name not in names)
    yield from (f"{name} stands there {times} times" for name, times in names.items() if times > 1 and name in ONCE)
    if "bcc" in names:
        yield "the mail tells who got a blind copy"
    for header in ("Message-ID", "In-Reply-To", "References"):
        said = str(message[header] or "")
        if said and _ID.sub("", said).strip():
            yield f"{header} is no list of message ids"
    for part in message.walk():
        if part.defects:
            yield f"a part is broken: {type(part.defects[0]).__name__}"
