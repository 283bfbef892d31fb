"""What the parser says of a mail: plain data on its way from a worker to `normalise`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from services.email.receive.addresses import Address

Verdict = Literal["pass", "fail", "none", "unknown"]
Automatic = Literal["auto_reply", "list", "bounce", "feedback"]


@dataclass(frozen=True, slots=True)
class File:
    """A file in the mail. `size` in bytes as decoded; `reference` as `transfer` has it; `type` as the mail says.

    `sniffed` is what its first bytes are, where that can be told.
    """

    name: str
    type: str
    size: int
    reference: str
    sniffed: str | None = None
    content_id: str | None = None
    inline: bool = False


@dataclass(frozen=True, slots=True)
class Results:
    """One Authentication-Results header: which server has checked, and what it found."""

    server: str
    spf: Verdict = "unknown"
    dkim: Verdict = "unknown"
    dmarc: Verdict = "unknown"


@dataclass(frozen=True, slots=True)
class Report:
    """What a mail system says of a mail that it was to deliver, or of one that somebody complained about.

    `names` are what the original may be known by, surest first: its ENVID, then Message-IDs. `status` is the enhanced
    code (`5.1.1`), `reply` the three digits before it. A complaint has `state` `complaint`.
    """

    state: Literal["failed", "delayed", "delivered", "relayed", "complaint"]
    hard: bool = False
    status: str | None = None
    reply: str | None = None
    envelope_id: str | None = None
    names: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Body:
    """The words of a mail: the new part, the quoted part, the signature, and all of them as they stood."""

    text: str = ""
    full_text: str = ""
    quoted_text: str = ""
    signature: str = ""
    html: str = ""
    quoted_html: str = ""


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail as far as an inbox needs it. Ids are without angle brackets; `date` is None where there is none to use;
    `arrived` is when the last mail system took it, by its own clock.

    `digest` is made of what the mail says, where it has no id that could tell it from another. `unreadable` says why
    there is only a placeholder: the mail took too long, or too much memory.
    """

    message_id: str | None = None
    in_reply_to: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    date: datetime | None = None
    raw_date: str = ""
    arrived: datetime | None = None
    subject: str = ""
    author: tuple[Address, ...] = ()
    on_behalf_of: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    delivered_to: tuple[Address, ...] = ()
    return_path: str | None = None
    body: Body = field(default_factory=Body)
    files: tuple[File, ...] = ()
    results: tuple[Results, ...] = ()
    automatic: Automatic | None = None
    reports: tuple[Report, ...] = ()
    digest: str = ""
    unreadable: str | None = None
