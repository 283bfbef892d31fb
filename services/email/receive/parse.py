"""From the bytes of a mail to plain data, in a worker process: total, linear, and within limits.

`parse` may be given anything. What it needs grows with the size of the mail and not with what is in it; whoever runs it
sets a deadline all the same, and takes `placeholder` where that has passed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import orjson

from services.email.receive import automatic, bounces, headers
from services.email.receive.addresses import Address, addresses
from services.email.receive.authentication import results_of
from services.email.receive.bodies import body_of
from services.email.receive.contents import contents
from services.email.receive.headers import Head
from services.email.receive.mime import structure
from services.email.receive.parsed import Body, File, Mail

_MOST_DELIVERED_TO = 50
_LONGEST_RECEIVED = 2000  # bytes
# Where mail systems write for whom a mail is, the surest first.
_DELIVERED_TO = (
    "delivered-to",
    "x-original-to",
    "envelope-to",
    "x-envelope-to",
    "x-delivered-to",
    "x-forwarded-to",
    "resent-to",
)


def parse(raw: bytes) -> bytes:
    """The mail as JSON, which `read` opens again. Never raises: what cannot be read at all is a placeholder."""
    raw = _with_line_feeds(raw)
    try:
        mail = _mail(raw)
    except (RecursionError, MemoryError, ValueError, TypeError, LookupError, AttributeError, OverflowError):
        return placeholder("unreadable", raw)
    return _json(mail)


def placeholder(reason: str, raw: bytes = b"") -> bytes:
    """The JSON of a mail that could not be parsed in time: who wrote to whom about what, as far as the header says."""
    try:
        mail = _envelope(headers.read_head(raw, 0, min(len(raw), headers.LONGEST_HEAD), outermost=True))
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError):
        mail = Mail()
    return _json(replace(mail, unreadable=reason, digest=hashlib.sha256(raw).hexdigest()))


def _json(mail: Mail) -> bytes:
    try:
        return orjson.dumps(mail)
    except orjson.JSONEncodeError:  # half of a surrogate pair, where a decoder has let one through
        return orjson.dumps(Mail(digest=mail.digest, unreadable="unreadable"))


def _with_line_feeds(raw: bytes) -> bytes:
    """Mail with carriage returns only, as old Macs wrote it: the same offsets, other line ends."""
    return raw if b"\n" in raw else raw.replace(b"\r", b"\n")


def _mail(raw: bytes) -> Mail:
    found = structure(raw)
    head = found.root.head
    mail = _envelope(head)
    words = contents(found.root)
    body = body_of(words)
    kind, reports = bounces.reports_of(found, body.full_text)
    sender = mail.author[0].email if mail.author else ""
    return replace(
        mail,
        body=body,
        files=tuple(words.files),
        results=results_of(head),
        automatic=kind or automatic.kind_of(head, sender),
        reports=reports,
        digest=_digest(mail, body, words.files),
    )


def _envelope(head: Head) -> Mail:
    """What the header says."""
    charset = headers.parameters(head.first("content-type"))[1].get("charset")
    # Of fields that may stand once the first counts: what somebody puts below it is not what people see.
    return Mail(
        message_id=headers.message_id(head.first("message-id")),
        in_reply_to=tuple(headers.message_ids(head.first("in-reply-to"))),
        references=tuple(headers.message_ids(b" ".join(head.all("references")))),
        date=headers.date(head.first("date")),
        raw_date=headers.text(head.first("date"))[:100],
        arrived=headers.date(head.first("received")[:_LONGEST_RECEIVED].rpartition(b";")[2]),
        subject=headers.text(head.first("subject"), charset),
        author=tuple(addresses(head.first("from"))),
        on_behalf_of=tuple(addresses(head.first("sender"))[:1]),
        reply_to=tuple(addresses(head.first("reply-to"))[:10]),
        to=tuple(addresses(b",".join(head.all("to")))),
        cc=tuple(addresses(b",".join(head.all("cc")))),
        delivered_to=tuple(_delivered_to(head)),
        return_path=_return_path(head),
    )


def _delivered_to(head: Head) -> list[Address]:
    return [one for name in _DELIVERED_TO for value in head.all(name) for one in addresses(value)][:_MOST_DELIVERED_TO]


def _return_path(head: Head) -> str | None:
    if not head.has("return-path"):
        return None
    return next((one.email for one in addresses(head.first("return-path"))), "")


def _digest(mail: Mail, body: Body, files: Sequence[File]) -> str:
    """What a mail says, for one without an id."""
    said = hashlib.sha256()
    for part in (
        ",".join(one.email for one in mail.author),
        ",".join(one.email for one in mail.to),
        mail.raw_date,
        mail.subject,
        body.full_text or body.html,
        *(f"{one.name}:{one.size}" for one in files),
    ):
        encoded = part.encode("utf-8", "replace")
        said.update(b"%d:" % len(encoded) + encoded)
    return said.hexdigest()
