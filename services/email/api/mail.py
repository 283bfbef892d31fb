"""A mail out of a call: its header, its body, its size, and its octets as they go over the wire."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from services.email.api import headers
from services.email.api.body import FilePart, Segment, base64_lines, encoded_size, segments
from shared.channel import OpenFile

Params = Mapping[str, Any]
_FITS = 57 / 78  # of the octets of a mail, what its files may have before they are encoded


class FileChanged(Exception):
    """A file has not the size that was told of it: what has been sent so far is no mail."""


@dataclass(frozen=True, slots=True)
class Mail:
    """Header and body, in order; every segment of octets is whole lines."""

    segments: tuple[Segment, ...]

    @property
    def files(self) -> list[str]:
        """The parameters of the call whose bytes belong into it."""
        return [one.name for one in self.segments if isinstance(one, FilePart)]

    def size(self, sizes: Mapping[str, int]) -> int:
        """Octets of the mail, as SIZE counts them (RFC 1870); `sizes` of its files by their parameters."""
        return sum(len(one) if isinstance(one, bytes) else encoded_size(sizes[one.name]) for one in self.segments)

    async def octets(self, open_file: Callable[[str], Awaitable[OpenFile]]) -> AsyncGenerator[bytes, None]:
        """The mail in pieces, each of them whole lines; each file is opened when its turn comes.

        Raises FileChanged, and what opening a file raises.
        """
        for segment in self.segments:
            if isinstance(segment, bytes):
                yield segment
                continue
            file = await open_file(segment.name)
            try:
                written = 0
                async for lines in base64_lines(file.chunks):
                    written += len(lines)
                    yield lines
                if written != encoded_size(file.size):
                    raise FileChanged
            finally:
                await file.close()


def compose(params: Params, date: datetime | None = None) -> Mail:
    """The mail that a call describes. Without a date it is as long as with one. Raises ValueError: see `headers`."""
    message_id: str = params["message_id"]
    parts = [
        FilePart(file["file"], file["filename"], file["mime_type"], file.get("content_id"))
        for file in params.get("attachments", ())
    ]
    boundary = f"=_{message_id.partition('@')[0]}"
    body = segments(params["text"], params.get("html"), parts, boundary)
    header = headers.written(_fields(params, date or datetime(2026, 1, 1, tzinfo=UTC)))
    first, *others = body
    assert isinstance(first, bytes)
    return Mail((header + first, *others))


def _fields(params: Params, date: datetime) -> list[tuple[str, str]]:
    sender = params["from"]
    fields = [
        ("Date", format_datetime(date.astimezone(UTC))),
        ("From", headers.addresses([(sender.get("name", ""), sender["address"])], "From")),
        ("To", headers.addresses([("", params["to"])], "To")),
    ]
    if params.get("cc"):
        fields.append(("Cc", headers.addresses([("", address) for address in params["cc"]], "Cc")))
    if params.get("reply_to"):
        fields.append(("Reply-To", headers.addresses([(sender.get("name", ""), params["reply_to"])], "Reply-To")))
    fields.append(("Subject", headers.text(params["subject"], "Subject")))
    fields.append(("Message-ID", headers.message_ids([params["message_id"]], "Message-ID")))
    if params.get("in_reply_to"):
        fields.append(("In-Reply-To", headers.message_ids([params["in_reply_to"]], "In-Reply-To")))
    if params.get("references"):
        fields.append(("References", headers.message_ids(params["references"], "References")))
    if params.get("automatic"):
        fields.append(("Auto-Submitted", params["automatic"]))
        # Not `All`, which would also keep reports of failed delivery from us.
        fields.append(("X-Auto-Response-Suppress", "OOF, AutoReply"))
    return [*fields, ("MIME-Version", "1.0")]


def too_large(size: int, limit: int) -> str:
    """Why a mail is too large, in octets as they go over the wire, and what would fit."""
    return (
        f"Email carries files as text, which makes them larger: this mail has {size:,} bytes, at most {limit:,} are "
        f"taken. That is about {int(limit * _FITS) // 100_000 / 10} MB of files."
    )
