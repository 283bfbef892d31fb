"""Outbound → provider: a full outbound topic, sent by one process to a provider that answers at once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import orjson
from aiokafka import ConsumerRecord

from bench.backlog import backlog, unchecked
from bench.channels import TEXT, WORKSPACE, Profile, Recipient, profile
from bench.figures import Aim, Figure, Result, series
from bench.scenarios import Options
from bench.stage import BenchFailed, Side, Stage
from shared.contract import ids
from shared.contract.base import rfc3339
from shared.contract.commands import CommandType, MessageSend, OutText
from shared.contract.envelope import Envelope, source, type_name
from shared.runtime.settings import Role

COMMANDS = 6_000
CONVERSATIONS = 1_000
ACCOUNTS = 20


async def run(options: Options) -> list[Result]:
    results = []
    for name in options.channels:
        async with options.stage() as stage, stage.peer(profile(name)) as provider:
            results.append(await _measure(stage, profile(name), provider, options))
    return results


async def _measure(stage: Stage, of: Profile, provider: str, options: Options) -> Result:
    async def fill(side: Side, first: int, count: int) -> None:
        await put_commands(stage, side, of, first, count, conversations=CONVERSATIONS)

    count = options.size(COMMANDS)
    async with (
        stage.service(of, "deliver", accounts=ACCOUNTS, provider=provider) as ours,
        stage.bare(of, "deliver", provider=provider) as bare,
    ):
        lines = [
            backlog(stage, side, of, Role.DELIVER, side.topics.outbound(of.name), side.topics.statuses(of.name), fill)
            for side in (ours, bare)
        ]
        async with lines[0] as mine, lines[1] as theirs:
            await mine.work_off(count // 10, sent)
            await theirs.work_off(count // 10, unchecked)
            paces = [
                (await mine.work_off(count, sent), await theirs.work_off(count, unchecked))
                for _ in range(options.rounds)
            ]
    figures = (
        Figure(
            "one process",
            "sends/s",
            series([a.rate for a, _ in paces]),
            series([b.rate for _, b in paces]),
            (Aim(1_500),),
        ),
        Figure("processor time", "µs/send", series([a.cpu for a, _ in paces]), series([b.cpu for _, b in paces])),
    )
    setting = (
        f"One process with `ROLES=deliver`; a backlog of {count:,} texts over {CONVERSATIONS:,} conversations of "
        f"{ACCOUNTS} accounts; rates raised, so that nobody waits for a token but every token is taken. Bare: "
        "aiokafka → aiohttp POST → a status, 128 at once, one at a time per conversation, no state."
    )
    return Result(f"Outbound → provider, {of.name}", setting, figures)


def command(of: Profile, number: int, conversations: int, accounts: int) -> tuple[MessageSend, Recipient]:
    """Command `number` and whom it is for."""
    # A conversation gets eight messages, then it is another one's turn: fewer than any channel's quota.
    conversation = number % conversations + conversations * (number // (8 * conversations))
    account = of.account(conversation % accounts)["account_id"]
    recipient = of.recipient(conversation)
    send = MessageSend(
        command_id=f"cmd-{number}",
        workspace_id=WORKSPACE,
        account_id=account,
        conversation_id=ids.conversation_id(of.name, account, recipient.peer),
        content=OutText(text=f"{TEXT} #{number}"),
    )
    return send, recipient


async def put_commands(
    stage: Stage, side: Side, of: Profile, first: int, count: int, *, conversations: int, accounts: int = ACCOUNTS
) -> None:
    """Write commands to the outbound topic, for contacts who have written, and wait until they are durable."""
    topic = side.topics.outbound(of.name)
    commands = [command(of, number, conversations, accounts) for number in range(first, first + count)]
    await asyncio.gather(*(stage.open(send.conversation_id or "", recipient.address) for send, recipient in commands))
    acks = []
    for send, _ in commands:
        envelope = Envelope(
            id=send.command_id,
            type=type_name(CommandType.MESSAGE_SEND),
            source=source("core", send.account_id),
            subject=send.conversation_id or "",
            time=rfc3339(datetime.now(UTC)),
            data=send,
        )
        acks.append(await stage.log.enqueue(topic, envelope.key, send.to_json(), envelope.headers()))
    await asyncio.gather(*acks)


def sent(record: ConsumerRecord) -> None:
    """Raises BenchFailed for the status of a command that was not sent: a refusal costs less and proves nothing."""
    status = orjson.loads(record.value)
    if status["state"] not in ("sent", "accepted"):
        raise BenchFailed(f"a command ended as {status['state']}: {status.get('error')}")
