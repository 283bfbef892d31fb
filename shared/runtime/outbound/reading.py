"""Reading: a record of the outbound topic as a job; what is no command of ours is answered at once."""

from __future__ import annotations

from shared.channel import Account, Channel, Refused
from shared.contract.accounts import AccountRecord
from shared.contract.commands import CommandRefused
from shared.contract.errors import ErrorCode
from shared.runtime import metrics
from shared.runtime.accounts.registry import AccountRegistry, AccountSealed
from shared.runtime.outbound.commands import (
    Job,
    NotACommand,
    account_refusal,
    expiry,
    key_refusal,
    read_command,
    refusal_status,
)
from shared.runtime.outbound.prepare import conversation_of
from shared.runtime.reporting.identity import Identities
from shared.runtime.reporting.statuses import StatusBook
from shared.runtime.waiting.lanes import OVERTAKING
from shared.state.store import Store
from shared.stream.deadletter import DeadLetters
from shared.stream.parking import Parking
from shared.stream.records import INJECTED, Record


class Reader:
    """Reads commands, and refuses or keeps what is none. Every method may raise LogUnavailable."""

    def __init__(
        self,
        channel: Channel,
        accounts: AccountRegistry,
        store: Store,
        identities: Identities,
        book: StatusBook,
        parking: Parking,
        dead: DeadLetters,
        *,
        patience: float,
    ) -> None:
        self._channel = channel
        self._name = channel.capabilities.channel
        self._accounts = accounts
        self._store = store
        self._identities = identities
        self._book = book
        self._parking = parking
        self._dead = dead
        self._patience = patience

    async def job(self, record: Record) -> Job | None:
        """The record as a job; None when it has been answered already: refused, or kept as a dead letter.

        Raises NotNow while the news of its account may still come, StateUnavailable.
        """
        try:
            kind, command, traceparent, ignored = read_command(record)
            if record.offset != INJECTED and not self._parking.takes(record, command.command_id.encode()):
                raise CommandRefused(ErrorCode.INVALID_COMMAND, "The command is larger than what can be made to wait.")
            account = self._accounts.get(command.account_id)
            if account is None:
                self._accounts.expect(record)
            refusal = account_refusal(account, command)
            if refusal is not None or account is None:
                raise refusal or AssertionError("no refusal without an account")
            if (misplaced := key_refusal(self._name, record, command)) is not None:
                raise misplaced
            conversation, address = await conversation_of(self._channel, self._identities, self._store, command)
        except NotACommand as unreadable:
            await self._dead.put(record, "unreadable", str(unreadable))
            metrics.DEAD_LETTERS.labels(self._name, "unreadable").inc()
            return None
        except CommandRefused as refused:
            await self.refuse(record, refused)
            return None
        except Refused as refused:
            await self.refuse(record, CommandRefused(refused.code, refused.detail, **refused.facts))
            return None
        metrics.COMMANDS.labels(self._name, kind).inc()
        expires = expiry(record, command, self._patience)
        return Job(record, kind, command, account, conversation, expires, traceparent, address, ignored)

    async def refuse(self, record: Record, refused: CommandRefused) -> None:
        """Answer a record that names a command but is none."""
        status = refusal_status(self._name, record, refused)
        await self._book.publish_all([status])
        # Its account may have gone while it was parked.
        await self._parking.release((status.command_id or "").encode())

    def without_state(self, record: Record) -> Job | None:
        """The record as a job in the conversation that it names, for nothing but to wait.

        None for one of no account that is known here, and for what overtakes.
        """
        try:
            kind, command, traceparent, _ = read_command(record)
        except (NotACommand, CommandRefused):
            return None
        try:
            account = self._accounts.get(command.account_id)
        except AccountSealed:  # whoever can open it carries the command out
            known = {"account_id": command.account_id, "workspace_id": command.workspace_id, "channel": self._name}
            account = Account(AccountRecord.model_validate(known))
        if account is None or kind in OVERTAKING:
            return None
        conversation = command.conversation_id or (record.key or b"").decode("utf-8", "replace")
        return Job(record, kind, command, account, conversation, expiry(record, command, self._patience), traceparent)
