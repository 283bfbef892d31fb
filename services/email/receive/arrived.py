"""One mail on its way through normalise: what it says about time, sides, conversation and thread, in one place."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from pydantic import TypeAdapter, ValidationError

from services.email.capabilities import CHANNEL
from services.email.mailbox import Mailbox
from services.email.peers import normal_address, peer_of_address
from services.email.receive.addresses import Address
from services.email.receive.bodies import inline_name
from services.email.receive.files import reference_in
from services.email.receive.parsed import File, Mail
from services.email.threads import chain, is_message_id, key_of, note_of, thread_keys, topic_of
from services.email.tokens import Kind, Tokens, read_recipient
from shared.channel import Event, InThread, ReceivedItem, StatusUpdate
from shared.contract import ids
from shared.contract.accounts import AccountRecord
from shared.contract.base import Alias, AliasKind, Contact, Origin
from shared.contract.content import (
    Attachment,
    AttachmentKind,
    Authentication,
    Content,
    EmailContent,
    ReplyTo,
    Thread,
    UnsupportedContent,
)
from shared.contract.events import EventType, Message, ProviderFact
from shared.contract.statuses import State

_READER = TypeAdapter(Mail)
# A date that differs more from when the mail arrived is a wrong clock, or a wish to stand on top.
_LATEST, _EARLIEST = timedelta(days=1), timedelta(days=30)
_MOST_SHOWN = 200  # addresses in `to` and in `cc`
_INLINE = re.compile(re.escape(inline_name(0))[:-1] + r"(\d{1,3})(?=\")")
_UNKNOWN_PEER = "unknown"


@dataclass(frozen=True)
class Arrived:
    """A mail with the account it is for."""

    account: AccountRecord
    box: Mailbox
    mail: Mail
    tokens: Tokens
    received_at: datetime
    sequence: int | None
    blob: str | None = None

    @classmethod
    def of(cls, item: ReceivedItem, tokens: Tokens) -> Arrived:
        """Raises ValueError for what is not the parser's."""
        try:
            mail = _READER.validate_json(item.body)
        except ValidationError:
            raise ValueError("The item is no parsed mail.") from None
        return cls(item.account, Mailbox.of(item.account), mail, tokens, item.received_at, item.sequence, item.blob)

    # ---------------------------------------------------------------------------------------------------- identity

    @cached_property
    def provider_id(self) -> str:
        """What makes it this mail and no other: a Message-ID alone does not, senders use one twice."""
        said = (
            (self.mail.message_id, self.mail.raw_date, self._author.email)
            if self.mail.message_id
            else (self.mail.digest,)
        )
        whole = "|".join(f"{len(part)}:{part}" for part in (self.account.account_id, *said))
        return hashlib.sha256(whole.encode("utf-8", "replace")).hexdigest()

    @property
    def ref(self) -> str:
        """What an answer names it by."""
        named = self.mail.message_id
        return named if named and is_message_id(named) else self.provider_id

    @cached_property
    def message_id(self) -> str:
        return ids.message_id(CHANNEL, self.account.account_id, self.provider_id)

    @cached_property
    def occurred_at(self) -> datetime:
        """When it was written: unless that cannot be, when it arrived. A mailbox may show us mail of years ago."""
        arrived = min(self.mail.arrived or self.received_at, self.received_at)
        told = self.mail.date
        return arrived if told is None or not arrived - _EARLIEST <= told <= arrived + _LATEST else told

    # ------------------------------------------------------------------------------------------------------- sides

    @cached_property
    def _author(self) -> Address:
        """Who wrote it: From, or what stands in for it where there is none."""
        mail = self.mail
        bounced_to = (Address(mail.return_path),) if mail.return_path else ()
        return next(iter((*mail.author, *mail.on_behalf_of, *mail.reply_to, *bounced_to)), Address(""))

    @cached_property
    def _own(self) -> frozenset[str]:
        return frozenset(filter(None, (self.box.address, *self.box.addresses)))

    def is_own(self, address: str) -> bool:
        """Whether an address is the account's: as it is, or with a plus part."""
        known = normal_address(address)
        if known is None:
            return False
        local, _, domain = known.rpartition("@")
        return known in self._own or f"{local.partition('+')[0]}@{domain}" in self._own

    @cached_property
    def _recipients(self) -> list[Address]:
        return [*self.mail.delivered_to, *self.mail.to, *self.mail.cc]

    @cached_property
    def contact(self) -> Address:
        """The other side. Reply-To stands for it only where the mail comes from ourselves: a form of our website."""
        if self.is_own(self._author.email):
            other = next((one for one in self.mail.reply_to if not self.is_own(one.email)), None)
            return other or (self._written_to if self.is_echo else None) or self._author
        return self._author

    @cached_property
    def _written_to(self) -> Address | None:
        return next((one for one in (*self.mail.to, *self.mail.cc) if not self.is_own(one.email)), None)

    @property
    def is_echo(self) -> bool:
        """Whether one of us wrote it, in a mail program of theirs."""
        from_us = self.is_own(self._author.email) and self._written_to is not None
        return from_us and all(self.is_own(one.email) for one in self.mail.reply_to)

    @cached_property
    def peer(self) -> str:
        email = self.contact.email
        known = normal_address(email)
        if known is not None:
            return peer_of_address(known)
        return ids.personal_peer(email.lower()) if email else _UNKNOWN_PEER

    def token(self, kind: Kind) -> str | None:
        """A token of ours in an address that the mail was sent to."""
        for one in self._recipients:
            found = read_recipient(one.email.rpartition("@")[0])
            if found and found[0] == kind and self.tokens.accepts(kind, self.account.account_id, found[1]):
                return found[1]
        return None

    # ------------------------------------------------------------------------------------------------------ events

    def echo(self) -> StatusUpdate | None:
        """What the copy of a message that this connector has sent says: it has been sent."""
        named = self.mail.message_id
        if named is None or not self.tokens.is_own(self.account.account_id, named):
            return None
        return StatusUpdate(named, State.SENT, self.occurred_at)

    def facts(self) -> dict[str, Any]:
        """The fields that every event of this mail has."""
        return {
            "channel": CHANNEL,
            "workspace_id": self.account.workspace_id,
            "account_id": self.account.account_id,
            "conversation_id": ids.conversation_id(CHANNEL, self.account.account_id, self.peer),
            "occurred_at": self.occurred_at,
            "received_at": self.received_at,
            "sequence": self.sequence,
        }

    def event(self) -> Event:
        """The mail itself."""
        mail, echo = self.mail, self.is_echo
        parent = next(iter(mail.in_reply_to), None) or next(reversed(mail.references), None)
        known = normal_address(self.contact.email)
        contact = contact_of(self.contact)
        message = Message(
            **self.facts(),
            message_id=self.message_id,
            direction="outbound" if echo else "inbound",
            origin=Origin.NATIVE_APP if echo else Origin.CONTACT,
            sender=contact_of(self._author) if echo else contact,
            recipient=contact if echo else None,
            content=self._content(),
            reply_to=self._answered(parent) if parent else None,
            thread=Thread(subject=mail.subject),
            automatic=True if mail.automatic else None,
            automatic_kind=mail.automatic,
            provider=ProviderFact(message_id=mail.message_id, type="email"),
        )
        return Event(
            EventType.MESSAGE_ECHOED if echo else EventType.MESSAGE_RECEIVED,
            message,
            provider_id=self.provider_id,
            address={"email": known} if known else {},
            # There is no window: it marks the message that a plain answer belongs to, which no automatic one is.
            opens_window=not echo and mail.automatic is None,
            provider_ref=self.ref,
            thread=self._thread(parent),
        )

    def _answered(self, parent: str) -> ReplyTo:
        """The message that this one answers: ours are known by their Message-IDs."""
        account_id = self.account.account_id
        own = self.tokens.is_own(account_id, parent)
        return ReplyTo(
            message_id=ids.message_id(CHANNEL, account_id, parent) if own else None, provider_message_id=parent
        )

    def _thread(self, parent: str | None) -> InThread:
        mail = self.mail
        keys = thread_keys(mail.message_id, parent, mail.references, self.token("reply"))
        named = mail.message_id if mail.message_id and is_message_id(mail.message_id) else None
        return InThread(
            keys=keys or (key_of(self.provider_id),),
            note=note_of(mail.subject, named, chain(mail.references, parent)),
            topic=topic_of(mail.subject),
        )

    # ----------------------------------------------------------------------------------------------------- content

    def _content(self) -> Content:
        mail = self.mail
        if mail.unreadable:
            text = f"An email that could not be read: {mail.subject}".rstrip(": ")
            return UnsupportedContent(text=text, reason="unreadable")
        files = tuple(self._attachment(index, file) for index, file in enumerate(mail.files))
        body = mail.body
        return EmailContent(
            text=body.text,
            subject=mail.subject,
            full_text=body.full_text,
            html=_with_ids(body.html, files),
            quoted_text=body.quoted_text,
            quoted_html=_with_ids(body.quoted_html, files),
            signature=body.signature,
            to=_shown(mail.to),
            cc=_shown(mail.cc),
            reply_to_address=self._reply_to(),
            authentication=self._authentication(),
            attachments=files,
        )

    def _attachment(self, index: int, file: File) -> Attachment:
        attachment_id = ids.attachment_id(self.message_id, index)
        mime_type = _mime_type(file)
        return Attachment(
            attachment_id=attachment_id,
            kind=_kind(mime_type or ""),
            filename=file.name,
            mime_type=mime_type,
            claimed_mime_type=file.type,
            size=file.size,
            blob=ids.blob_key(self.account.workspace_id, self.account.account_id, attachment_id),
            provider_ref=reference_in(self.blob, file.reference),
            inline=True if file.inline else None,
            content_id=file.content_id,
        )

    def _reply_to(self) -> str | None:
        asked = next((normal_address(one.email) for one in self.mail.reply_to), None)
        return asked if asked != normal_address(self.contact.email) else None

    def _authentication(self) -> Authentication | None:
        """What a server said that the account trusts: anybody can write such a header."""
        trusted = {server.lower() for server in self.box.trusted_authserv}
        for found in self.mail.results:
            if found.server in trusted:
                return Authentication(spf=found.spf, dkim=found.dkim, dmarc=found.dmarc)
        return Authentication() if trusted else None


def contact_of(address: Address) -> Contact:
    known = normal_address(address.email)
    aliases = (Alias(kind=AliasKind.EMAIL, value=known),) if known else ()
    return Contact(aliases=aliases, display_name=address.name or (None if known else address.email))


def _shown(listed: tuple[Address, ...]) -> tuple[str, ...]:
    known = (normal_address(one.email) or one.email.lower() for one in listed)
    return tuple(dict.fromkeys(known))[:_MOST_SHOWN]


# What the first bytes of many different kinds of files have in common: the sender's word says more.
_VAGUE = frozenset((None, "text/plain", "application/zip", "application/gzip", "application/x-ole-storage"))


def _mime_type(file: File) -> str | None:
    if file.sniffed in _VAGUE and file.type not in ("", "application/octet-stream"):
        return file.type
    return file.sniffed


def _kind(mime_type: str) -> AttachmentKind:
    first = mime_type.partition("/")[0]
    return AttachmentKind(first) if first in ("image", "video", "audio") else AttachmentKind.DOCUMENT


def _with_ids(markup: str, files: tuple[Attachment, ...]) -> str:
    """The html with the ids of its inline files."""

    def named(found: re.Match[str]) -> str:
        index = int(found[1])
        return f"cid:{files[index].attachment_id}" if index < len(files) else found[0]

    return _INLINE.sub(named, markup)
