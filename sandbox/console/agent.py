"""The agent's side: commands onto the outbound topic and files into the blob store, as the inbox core would."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ValidationError

from sandbox.channels.control import WORKSPACE
from shared.contract import ids
from shared.contract.base import rfc3339
from shared.contract.commands import COMMAND_OF, CommandType
from shared.contract.envelope import Envelope, source, type_name
from shared.contract.topics import Topics
from shared.media.blobs import Blobs
from shared.stream.log import Log

MAX_FILE = 100 * 1024 * 1024  # bytes
PATIENCE = timedelta(minutes=5)
_AGENT = {"kind": "human", "id": "u_demo", "display_name": "Noor"}


class BadCommand(ValueError):
    """The page asked for a command that is none; the message names the field."""


class FileTooLarge(ValueError):
    """Above MAX_FILE."""


class Agent:
    """Acts for the person who plays the agent."""

    def __init__(self, log: Log, topics: Topics, blobs: Blobs) -> None:
        self._log = log
        self._topics = topics
        self._blobs = blobs

    async def command(self, channel: str, kind: str, fields: Mapping[str, Any]) -> str:
        """Publish a command; returns its id. Raises BadCommand, LogUnavailable.

        `fields` are those of the contract; id, workspace, actor and deadline are added here.
        """
        command_id, now = f"cmd_{uuid.uuid4().hex}", datetime.now(UTC)
        common = {"command_id": command_id, "workspace_id": WORKSPACE, "actor": _AGENT, "not_after": now + PATIENCE}
        try:
            name = CommandType(kind)
            data = COMMAND_OF[name].model_validate({**fields, **common})
        except ValidationError as invalid:
            first = invalid.errors(include_input=False, include_url=False, include_context=False)[0]
            raise BadCommand(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
        except ValueError:
            raise BadCommand(f"{kind} is no command") from None
        addressee = f"{channel}:{data.account_id}:{ids.personal_peer(data.to[0].value)}" if data.to else ""
        order = data.conversation_id or addressee
        envelope = Envelope(command_id, type_name(name), source(channel, data.account_id), order, rfc3339(now), data)
        await self._log.send(self._topics.outbound(channel), envelope.key, data.to_json(), envelope.headers())
        return command_id

    def asked(self, kind: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The same command as preflight takes it: nothing is checked here, the service says what is wrong with it."""
        return {"type": kind, "data": {**fields, "command_id": "preflight", "workspace_id": WORKSPACE, "actor": _AGENT}}

    async def store(self, filename: str, mime_type: str, content: AsyncIterator[bytes]) -> dict[str, Any]:
        """Store a file; returns it as a command names it. Raises FileTooLarge."""
        key, size = f"{WORKSPACE}/core/{uuid.uuid4().hex}", 0

        async def counted() -> AsyncIterator[bytes]:
            nonlocal size
            async for chunk in content:
                size += len(chunk)
                if size > MAX_FILE:
                    raise FileTooLarge
                yield chunk

        await self._blobs.put(key, counted())
        return {"blob": key, "filename": filename, "mime_type": mime_type or None, "size": size}
