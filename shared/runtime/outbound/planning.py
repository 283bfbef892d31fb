"""Planning, as deliver, preflight and the command line do it alike: whom a command is for, and which calls it makes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from shared.channel import Call, Channel, Initiates, PlanContext, Refused
from shared.contract.commands import Command, CommandType, Typing
from shared.policy.judge import cannot_initiate

LARGE = 128 * 1024  # bytes: what is larger is planned beside the event loop
_OURS = frozenset({CommandType.MESSAGE_CANCEL, CommandType.MESSAGE_RESEND, CommandType.TYPING_STOP})
_BLOCKS = frozenset({CommandType.CONTACT_BLOCK, CommandType.CONTACT_UNBLOCK})


def addressee(channel: Channel, command: Command) -> tuple[str, Mapping[str, str]]:
    """The peer and the address that a command's `to` gives; '' for one that names its conversation alone.

    Raises Refused where nobody can be written to by `to` alone.
    """
    if command.to and isinstance(channel, Initiates):
        return channel.peer_of(command.to)
    if command.conversation_id is None:
        refusal = cannot_initiate(channel.capabilities)
        raise Refused(refusal.code, refusal.detail, **refusal.facts)
    return "", {}


async def plan(
    channel: Channel, kind: CommandType, command: Command, context: PlanContext, size: int
) -> Sequence[Call]:
    """As `planned`; beside the event loop for a command of `size` bytes that is large. Raises Refused."""
    if size < LARGE:
        return planned(channel, kind, command, context)
    return await asyncio.to_thread(planned, channel, kind, command, context)


def planned(channel: Channel, kind: CommandType, command: Command, context: PlanContext) -> Sequence[Call]:
    """The calls of a command. None for one about what waits here, for what only agents see, and for a block that the
    provider has no call for, or not for this contact: it holds here. Raises Refused, which names the channel.
    """
    if kind in _OURS or (isinstance(command, Typing) and command.audience == "agents"):
        return ()
    try:
        return channel.plan(kind, command, context)
    except Refused as refused:
        if kind in _BLOCKS:
            return ()
        params = {"channel": channel.capabilities.label, **refused.facts.get("params", {})}
        raise Refused(refused.code, refused.detail, **{**refused.facts, "params": params}) from None
