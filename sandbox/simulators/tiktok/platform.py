"""Everything one simulated platform consists of, wired together, and the step a message takes into a thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from sandbox.simulators.common import Clock, Faults
from sandbox.simulators.feed import Feed

from .events import european_event, message_event
from .faults import CallFault
from .ids import Mint
from .ledger import Ledger
from .media import MediaStore
from .options import Options
from .tokens import Tokens
from .webhooks import Delivery, Webhooks
from .world import Conversation, Message, World

KEPT_CHANGES = 2_000


class Platform:
    """The state behind the HTTP surface, usable without it."""

    def __init__(
        self,
        options: Options,
        clock: Clock,
        *,
        media_directory: Path | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.options = options
        self.clock = clock
        self.base_url = ""
        self.mint = Mint()
        self.world = World()
        self.ledger = Ledger()
        self.faults = Faults(CallFault)
        self.feed = Feed(clock, KEPT_CHANGES)
        self.tokens = Tokens(clock, options)
        self.media = MediaStore(clock, self.mint, media_directory)
        self.webhooks = Webhooks(clock, options, self.faults, wall)

    def now_ms(self) -> int:
        """Platform time, unix milliseconds."""
        return int(self.clock.now() * 1000)

    def take_in(self, conversation: Conversation, message: Message) -> None:
        """Put a message into its thread and tell the console."""
        conversation.add(message, self.options)
        self.feed.publish(
            "message",
            {
                "conversation_id": conversation.conversation_id,
                "business_id": conversation.account.business_id,
                "message_id": message.message_id,
                "inbound": message.inbound,
                "type": message.kind,
                "source": message.source,
                "timestamp": message.timestamp,
                **message.parts,
            },
        )

    def announcement(self, conversation: Conversation, message: Message) -> Delivery:
        """The webhook that tells the app of a message."""
        stripped = message.inbound and conversation.customer.european
        event, content = (european_event if stripped else message_event)(conversation, message)
        return self.webhooks.delivery(event, content, conversation.account.business_id)
