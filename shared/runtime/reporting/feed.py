"""The conversation-state feed: a record whenever what the connector would accept has changed."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from shared.contract.accounts import AccountRecord
from shared.contract.capabilities import Capabilities
from shared.contract.state import STATE_TYPE
from shared.contract.topics import Topics
from shared.policy.conversation import Conversation, from_fields
from shared.policy.judge import conversation_state
from shared.policy.windows import rule_for
from shared.runtime.reporting.publish import enqueue, fact_envelope
from shared.state.store import Store
from shared.stream.log import Log, Stored


class StateFeed:
    """Writes `channels.<ch>.state`. What was last said is kept with the conversation, so that all replicas know."""

    def __init__(self, capabilities: Capabilities, log: Log, store: Store, topics: Topics) -> None:
        self._capabilities = capabilities
        self._log = log
        self._store = store
        self._topic = topics.state(capabilities.channel)
        self._version = capabilities.content_hash[:6]

    def mark(self, conversation: Conversation) -> str:
        """What the feed should have said: a new mark means a new record is due.

        Where no window depends on it, the time of the last inbound is told to the minute only.
        """
        last = conversation.last_inbound
        exact = rule_for(self._capabilities, conversation) is not None
        seen = "" if last is None else str(int(last.timestamp() * (1000 if exact else 1 / 60)))
        flags = (
            conversation.closed_by_provider,
            conversation.unreachable,
            conversation.blocked,
            conversation.opted_out,
        )
        told = "".join("1" if flag else "0" for flag in flags) + ("1" if conversation.undeliverable else "")
        return f"{self._version}|{seen}|{conversation.quota_used}|{told}"

    @staticmethod
    def said_unreachable(conversation: Conversation) -> bool:
        """Whether the last record said that the contact cannot be reached."""
        return conversation.fed.rpartition("|")[2][1:2] == "1"

    async def keep_up(self, account: AccountRecord, conversation_id: str, conversation: Conversation) -> None:
        """Write records until the last one says what holds.

        Two processes may write at the same time: whoever was last looks again, so an older record never stays.
        Raises LogUnavailable, StateUnavailable.
        """
        while (mark := self.mark(conversation)) != conversation.fed:
            await (await self.say(account, conversation_id, conversation))
            observed = await self._store.observe(conversation_id, fields={"fed": mark})
            if observed.merged_into is not None:  # what holds is said of the one that it has become part of
                return
            conversation = from_fields(observed.conversation, observed.quota_used)

    async def say(
        self, account: AccountRecord, conversation_id: str, conversation: Conversation
    ) -> asyncio.Future[Stored]:
        """Write the record; await the result for the ack. Raises LogUnavailable."""
        now = datetime.now(UTC)
        state = conversation_state(self._capabilities, account, conversation_id, conversation, now)
        said = fact_envelope(STATE_TYPE, account.channel, account.account_id, conversation_id, now, state)
        return await enqueue(self._log, self._topic, said)
