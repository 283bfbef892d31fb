"""What tests of sending share: an account, a channel, a command, files in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from services.email.channel import EmailChannel
from services.email.settings import Settings
from shared.channel import Account, Call, Failure, FileUnavailable, OpenFile, PlanContext, ProviderError
from shared.contract.accounts import AccountRecord
from shared.contract.commands import File, parse_command

CONTACT = "ida@example.net"


class Memory:
    """Files to send, by their blobs."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files
        self.opened = self.closed = 0

    async def open(self, file: File) -> OpenFile:
        assert file.blob is not None
        if file.blob not in self._files:
            raise FileUnavailable
        data = self._files[file.blob]
        self.opened += 1

        async def chunks() -> AsyncIterator[bytes]:
            for at in range(0, len(data), 1000):
                yield data[at : at + 1000]

        async def close() -> None:
            self.closed += 1

        return OpenFile(file.filename or "", file.mime_type or "", len(data), chunks(), close)


def account(port: int, credentials: Mapping[str, str] | None = None, **settings: Any) -> Account:
    record = AccountRecord(
        account_id="mail_1",
        workspace_id="ws_1",
        channel="email",
        external_id="support@acme.example",
        settings={"smtp": {"host": "127.0.0.1", "port": port, "security": "none"}, **settings},
    )
    return Account(record, {"password": "hunter2"} if credentials is None else credentials)


def settings(**changes: Any) -> Settings:
    known = {"connect_timeout": 2.0, "command_timeout": 2.0, "answer_timeout": 2.0, "token_key": "k"}
    return Settings.model_validate(known | changes)


@asynccontextmanager
async def channel(**changes: Any) -> AsyncIterator[EmailChannel]:
    built = EmailChannel(settings(**changes))
    await built.start()
    try:
        yield built
    finally:
        await built.stop()


def call(sender: EmailChannel, owner: Account, command_id: str = "cmd_1", **content: Any) -> Call:
    """The call of a mail to the contact."""
    said = {"kind": "email", "text": "Good morning", "subject": "Your order", **content}
    data = {"command_id": command_id, "workspace_id": "ws_1", "account_id": "mail_1", "content": said,
            "conversation_id": "email:mail_1:p-6a1f0c2b9d8e7f60514233445566aa"}  # fmt: skip
    kind, command = parse_command("channels.message.send.v1", data)
    files = tuple(File.model_validate(file) for file in said.get("attachments", ()))
    [planned] = sender.plan(kind, command, PlanContext(owner.record, {"email": CONTACT}, files=files))
    return planned


async def refused(sender: EmailChannel, planned: Call, owner: Account, files: Any = None) -> Failure:
    """How a call fails."""
    try:
        await sender.perform(planned, owner, files or Memory({}))
    except ProviderError as failed:
        return failed.failure
    raise AssertionError("it was sent")
