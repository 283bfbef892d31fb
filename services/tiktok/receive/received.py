"""One event on its way through normalise: what it says about time, sides and conversation, in one place."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

import orjson

from services.tiktok.receive.wire import Content, Envelope, moment
from services.tiktok.shapes import UNKNOWN_PEER, USER_PEER
from shared.channel import Event, ReceivedItem
from shared.contract.base import Alias, AliasKind, Contact, Origin
from shared.contract.content import Content as ContractContent
from shared.contract.content import ReplyTo
from shared.contract.events import EventType, Message, ProviderFact
from shared.kit import facts
from shared.kit.json import read_shallow

_NESTED_STRINGS = 2  # `content` is JSON in a string; some relays wrap it once more


def content_of(value: Any) -> Any:
    """The content of an envelope, decoded. Raises ValueError."""
    for _ in range(_NESTED_STRINGS):
        if not isinstance(value, str) or not value.strip():
            break
        value = read_shallow(value)
    if isinstance(value, str) and value.strip():
        raise ValueError("The content of the event is not JSON.")
    return value


@dataclass(frozen=True)
class Received:
    """An event with its account. `raw` is the content as it came, for what is not modelled."""

    item: ReceivedItem
    envelope: Envelope
    content: Content
    raw: Mapping[str, Any]

    @classmethod
    def of(cls, item: ReceivedItem) -> Received:
        """Decode an item. Raises ValueError when it or its content is not JSON."""
        document = read_shallow(item.body)
        # A stray entry of a batch, or what is no event at all: shown whole, like any unknown event.
        if not isinstance(document, dict):
            document = {"content": {"value": document}}
        elif not document.keys() & {"event", "content"}:
            document = {"content": document}
        elif "content" not in document:
            # Some relays unpack the content: its fields stand beside those of the envelope.
            document = {**document, "content": {n: v for n, v in document.items() if n not in Envelope.model_fields}}
        content = content_of(document.get("content"))
        raw = content if isinstance(content, dict) else {} if content is None else {"value": content}
        return cls(item, Envelope.model_validate(document), Content.model_validate(raw), raw)

    # ------------------------------------------------------------------------------------------- who and when

    @cached_property
    def occurred_at(self) -> datetime:
        read = self.content.read.last_read_timestamp if self.content.read else None
        return moment(self.content.timestamp, self.envelope.create_time, read) or self.item.received_at

    @cached_property
    def read_until(self) -> datetime:
        read = self.content.read
        return moment(read.last_read_timestamp if read else None) or self.occurred_at

    @property
    def business_id(self) -> str | None:
        return self.envelope.user_openid or self.item.account.external_id

    @cached_property
    def outbound(self) -> bool:
        """Whether our side did it."""
        if self.envelope.event == "im_send_msg":
            return True
        author, addressee = self.content.from_user, self.content.to_user
        if author is None:
            return False
        if author.id is not None and author.id == self.business_id:
            return True
        # Another business may write to ours: the role alone does not say whose side it is.
        if addressee is not None and addressee.id is not None and addressee.id == self.business_id:
            return False
        return author.role == "business_account"

    @cached_property
    def contact_id(self) -> str | None:
        """The other side's id. On echoes only `to_user` is documented to be theirs."""
        if self.outbound:
            addressee = self.content.to_user.id if self.content.to_user else None
            return None if addressee == self.business_id else addressee
        author = self.content.from_user
        return (author.id if author else None) or self.content.unique_identifier

    @cached_property
    def contact(self) -> Contact:
        told, user = (
            (self.content.recipient, self.content.to_user)
            if self.outbound
            else (self.content.sender, self.content.from_user)
        )
        username = told or (user.username if user else None)
        aliases = [
            Alias(kind=kind, value=value)
            for kind, value in (
                (AliasKind.PROVIDER_ID, self.contact_id),
                (AliasKind.USERNAME, username.removeprefix("@") if username else None),
            )
            if value
        ]
        profile = next((p for p in self.envelope.participants if p.id and p.id == self.contact_id), None)
        return Contact(
            aliases=tuple(aliases),
            display_name=profile.display_name if profile else None,
            avatar_url=profile.profile_image if profile else None,
        )

    @cached_property
    def business(self) -> Contact:
        """Our own side, as the sender of an echo, or of a reaction to what the contact wrote."""
        ours = (self.business_id, self.content.sender if self.outbound else self.content.recipient)
        kinds = (AliasKind.PROVIDER_ID, AliasKind.USERNAME)
        return Contact(aliases=tuple(Alias(kind=k, value=v) for k, v in zip(kinds, ours, strict=True) if v))

    @cached_property
    def peer(self) -> str:
        if self.content.conversation_id:
            return self.content.conversation_id
        return USER_PEER + self.contact_id if self.contact_id else UNKNOWN_PEER

    @property
    def address(self) -> dict[str, str]:
        conversation = self.content.conversation_id
        return {"conversation_id": conversation} if conversation else {}

    @cached_property
    def ref(self) -> str:
        """The message's id, or one made of its content."""
        return self.content.message_id or "content:" + self.digest

    @cached_property
    def digest(self) -> str:
        """Names the content: the same at a redelivery."""
        return hashlib.sha256(orjson.dumps(self.raw, option=orjson.OPT_SORT_KEYS)).hexdigest()

    # ------------------------------------------------------------------------------------------------- events

    def facts(self, peer: str | None = None) -> dict[str, Any]:
        """The fields every event of a conversation has."""
        shared = facts.facts(self.item, peer or self.peer, self.occurred_at)
        return {**shared, "backfill": self.envelope.backfill}

    def message_id(self, ref: str) -> str:
        return facts.message_id(self.item.account, ref)

    def provider_fact(self, kind: str) -> ProviderFact:
        return ProviderFact(message_id=self.content.message_id, type=kind)

    def message(
        self,
        event_type: EventType,
        content: ContractContent,
        *,
        ref: str | None = None,
        peer: str | None = None,
        origin: Origin = Origin.CONTACT,
        reply: str | None = None,
        opens_window: bool = False,
        automatic: bool | None = None,
        provider_type: str | None = None,
    ) -> Event:
        """The event of a message; its sides follow from its type."""
        ref = ref or self.ref
        echoed = event_type is EventType.MESSAGE_ECHOED
        direction: Literal["inbound", "outbound"] = "outbound" if echoed else "inbound"
        data = Message(
            **self.facts(peer),
            message_id=self.message_id(ref),
            direction=direction,
            origin=origin,
            sender=self.business if echoed else self.contact,
            recipient=self.contact if echoed else None,
            content=content,
            reply_to=ReplyTo(message_id=self.message_id(reply), provider_message_id=reply) if reply else None,
            automatic=automatic,
            provider=self.provider_fact(provider_type or self.content.type or self.envelope.event or "unknown"),
        )
        return Event(
            event_type,
            data,
            provider_id=ref,
            address=self.address,
            opens_window=opens_window,
            provider_ref=ref,
        )
