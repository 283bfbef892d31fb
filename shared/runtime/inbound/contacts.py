"""Names and pictures that messages of contacts do not bring: asked for beside them, told as `contact.updated`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from time import monotonic

import structlog
from cachetools import TTLCache

from shared.channel import Account, Channel, Event, KnowsContacts, ProviderError
from shared.contract.base import Contact
from shared.contract.events import ContactUpdated, EventType, Message
from shared.contract.topics import Topics
from shared.media.blobs import Blobs
from shared.policy.conversation import Conversation
from shared.runtime import metrics
from shared.runtime.inbound import avatars
from shared.runtime.inbound.avatars import Avatars, Stored
from shared.runtime.inbound.enrich import FROM_CONTACT
from shared.runtime.reporting.identity import Identities
from shared.runtime.reporting.publish import event_envelope, publish
from shared.state.client import StateUnavailable
from shared.state.store import Store
from shared.stream.errors import LogUnavailable
from shared.stream.log import Log

log = structlog.get_logger()

ASK_AGAIN_SECONDS = 3600.0  # a contact without an answer is asked for again with a message after so long
_AT_ONCE = 4
_MOST = 256  # asked for or waiting; beyond them a contact stays unnamed until its next message
_REMEMBERED = 50_000


class ContactNames:
    """Looks contacts up in the background: no message waits for it, and what fails is left for a later message."""

    def __init__(
        self, channel: Channel, store: Store, blobs: Blobs, identities: Identities, log_: Log, topics: Topics
    ) -> None:
        self._name = channel.capabilities.channel
        self._knows = channel if isinstance(channel, KnowsContacts) else None
        self._avatars = Avatars(channel, store, blobs)
        self._store = store
        self._identities = identities
        self._log = log_
        self._topic = topics.inbound(self._name)
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        # Spares the store a question for every message.
        self._asked: TTLCache[str, None] = TTLCache(_REMEMBERED, ASK_AGAIN_SECONDS, timer=monotonic)
        self._looked_at: TTLCache[str, None] = TTLCache(_REMEMBERED, avatars.ASK_AGAIN_SECONDS, timer=monotonic)

    def look_up(
        self, account: Account, conversation_id: str, conversation: Conversation, events: Sequence[Event]
    ) -> None:
        """Begin to ask for the contact of a conversation, where its new `events` bring a message: for the name where
        nobody has one, at most once per contact and `ASK_AGAIN_SECONDS`, and for the picture, at most once a day.

        Returns at once.
        """
        named = self._knows is None or bool(conversation.name) or conversation_id in self._asked
        shown = not self._avatars.shown or conversation_id in self._looked_at
        if (named and shown) or conversation.blocked or not conversation.address:
            return
        message = next((e.data for e in events if e.type in FROM_CONTACT and isinstance(e.data, Message)), None)
        if message is None or message.backfill:
            return
        if len(self._tasks) >= _MOST:
            self._count("dropped")
            return
        self._asked[conversation_id] = self._looked_at[conversation_id] = None
        knows = None if named else self._knows
        task = asyncio.create_task(self._introduce(knows, account, conversation, message, conversation_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Give up what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _introduce(
        self,
        knows: KnowsContacts | None,
        account: Account,
        conversation: Conversation,
        message: Message,
        conversation_id: str,
    ) -> None:
        try:
            async with self._slots:
                found = None
                if knows is not None and await self._store.first_in(ASK_AGAIN_SECONDS, "contact", conversation_id):
                    found = await knows.contact(account, conversation.address)
                    if found is None or not found.display_name:
                        self._count("unnamed")
                        found = None
                conversation_id = await self._identities.root_of(conversation_id)
                picture = await self._avatars.changed(account, conversation_id, conversation.address)
            if found is not None:
                await self._tell_name(message, conversation_id, found, picture)
            elif picture is not None:
                name = message.sender.display_name or conversation.name
                shown = message.sender.model_copy(update={"display_name": name, "avatar": picture.blob})
                await self._tell(message, conversation_id, shown, f"avatar|{picture.name}")
            if picture is not None:
                await self._avatars.told(conversation_id, picture)
        except ProviderError as refused:
            self._count(str(refused.failure.code))
        except (StateUnavailable, LogUnavailable):
            self._count("away")
        except Exception as bug:  # a name must never hurt anything else
            self._count("internal")
            log.error("contact_lookup_failed", channel=self._name, exc_info=bug)

    async def _tell_name(self, message: Message, conversation_id: str, found: Contact, picture: Stored | None) -> None:
        # Known before it is told, so that every message after the telling has it.
        await self._store.note(conversation_id, {"name": found.display_name or ""})
        seen = {} if picture is None else {"avatar": picture.blob}
        try:
            await self._tell(message, conversation_id, found.model_copy(update=seen), f"profile|{found.display_name}")
        except LogUnavailable:
            await self._store.note(conversation_id, {"name": ""})  # nobody has been told: to be asked for again
            raise
        self._count("named")

    async def _tell(self, message: Message, conversation_id: str, found: Contact, what: str) -> None:
        now = datetime.now(UTC)
        added = tuple(alias for alias in found.aliases if alias not in message.sender.aliases)
        data = ContactUpdated(
            channel=self._name,
            workspace_id=message.workspace_id,
            account_id=message.account_id,
            conversation_id=conversation_id,
            occurred_at=now,
            received_at=now,
            contact=found.model_copy(update={"aliases": (*message.sender.aliases, *added)}),
            added=added,
            reason="profile",
        )
        event = Event(EventType.CONTACT_UPDATED, data, provider_id=f"{conversation_id}|{what}")
        envelope = event_envelope(self._name, event)
        await publish(self._log, self._topic, envelope)
        metrics.EVENTS.labels(self._name, EventType.CONTACT_UPDATED).inc()

    def _count(self, outcome: str) -> None:
        metrics.CONTACT_LOOKUPS.labels(self._name, outcome).inc()
