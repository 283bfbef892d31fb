"""Commands for operators and their scripts: JSON on standard output, one document a line, and an exit status.

0 done; 1 it failed and may be called again; 2 the command line is not usable; 3 nothing was found, or something that
was meant stays as it is.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import orjson

from shared.channel import Channel, KeepsRaw
from shared.contract.topics import Topics
from shared.media.blobs import Blobs, BlobsUnavailable
from shared.runtime.inbound.raw import RawWriter, body_store
from shared.runtime.inbound.redrive import UnreadableBodies
from shared.runtime.process.connections import ServiceConfig, connect, kafka_log, state_client
from shared.runtime.tools.deadletters import Wanted, moment, name_of, summary, whole
from shared.runtime.tools.erase import Erasure
from shared.runtime.tools.trace import trace
from shared.state.client import StateUnavailable
from shared.state.store import Store
from shared.stream.deadletter import DeadLetters
from shared.stream.kafka import KafkaLog

NOT_ALL = 3


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-commands to a service's argument parser."""
    letters = commands.add_parser("deadletters", help="look at dead letters, and send them back")
    actions = letters.add_subparsers(dest="action", required=True)
    for name, meaning in (
        ("list", "print those that nobody has sent back, without what people wrote"),
        ("redrive", "send them back to where they came from; what is left out stays, as old as it is"),
    ):
        action = actions.add_parser(name, help=meaning)
        action.add_argument("--code", help="only those with this code")
        action.add_argument("--account", metavar="ID", help="only those of this account (our id, or the provider's)")
        action.add_argument("--since", metavar="TIME", type=moment_of, help="only newer ones: 2h, 7d, or RFC 3339")
        action.add_argument("--limit", type=int, metavar="N", help="at most so many")
        if name == "redrive":
            action.add_argument("--dry-run", action="store_true", help="only count")
    show = actions.add_parser("show", help="print one whole, with all that it says")
    show.add_argument("letter", metavar="PARTITION:OFFSET", help="as `list` names it")
    follow = commands.add_parser("trace", help="print what became of a message, step by step, from the topics")
    follow.add_argument("id", metavar="MESSAGE_ID", help="of a message, command or event; ours or the provider's")
    erase = commands.add_parser("erase", help="erase a contact, and report what is left until when")
    erase.add_argument("--contact", required=True, metavar="CONVERSATION_ID")
    erase.add_argument("--dry-run", action="store_true", help="only count")


def moment_of(value: str) -> datetime:
    """A time on the command line."""
    try:
        return moment(value, datetime.now(UTC))
    except ValueError as wrong:
        raise argparse.ArgumentTypeError(str(wrong)) from None


@asynccontextmanager
async def _kafka(config: ServiceConfig, client_id: str) -> AsyncIterator[KafkaLog]:
    stream = kafka_log(config.kafka, client_id)
    await connect(stream)
    try:
        yield stream
    finally:
        await stream.stop()


async def _deadletters(channel: Channel, config: ServiceConfig, parsed: argparse.Namespace) -> int:
    name, topics = channel.capabilities.channel, Topics(config.kafka.topic_prefix)
    topic, now = topics.deadletter(name), datetime.now(UTC)
    async with _kafka(config, "deadletters") as stream:
        blobs = Blobs(config.blobs.url)
        dead = DeadLetters(stream, lambda _: topic, store_body=body_store(blobs))
        if parsed.action == "show":
            async for letter in dead.present(topic):
                if name_of(letter) == parsed.letter:
                    _print(whole(letter, now))
                    return 0
            return NOT_ALL
        wanted = Wanted(parsed.code, parsed.account, parsed.since)
        if parsed.action == "list" or parsed.dry_run:
            count = 0
            async for letter in dead.present(topic):
                if count != parsed.limit and wanted(letter):
                    count += 1
                    if parsed.action == "list":
                        _print(summary(letter, now))
            if parsed.action == "redrive":
                _print({"would_send": count, "dry_run": True})
            return 0
        writer = RawWriter(name, stream, topics, blobs, dead, keeps_raw=isinstance(channel, KeepsRaw))
        bodies = UnreadableBodies(channel, writer, blobs, topics)
        done = await dead.redrive(topic, limit=parsed.limit, wanted=wanted, instead=bodies.split)
        _print({"sent": done.sent, "stay": done.stay, "still_unreadable": bodies.still_unreadable})
        return NOT_ALL if done.stay else 0


async def _trace(channel: Channel, config: ServiceConfig, parsed: argparse.Namespace) -> int:
    async with _kafka(config, "trace") as stream:
        steps = await trace(stream, Topics(config.kafka.topic_prefix), channel.capabilities.channel, parsed.id)
    for step in steps:
        _print(step)
    return 0 if steps else NOT_ALL


async def _erase(channel: Channel, config: ServiceConfig, parsed: argparse.Namespace) -> int:
    name, topics = channel.capabilities.channel, Topics(config.kafka.topic_prefix)
    state = state_client(config.state)
    try:
        async with _kafka(config, "erase") as stream:
            erasure = Erasure(name, stream, topics, Store(state), Blobs(config.blobs.url), dry=parsed.dry_run)
            done = await erasure.erase(parsed.contact)
    except ValueError:
        sys.stderr.write("no conversation of this channel\n")
        return 2
    except (StateUnavailable, BlobsUnavailable) as away:
        sys.stderr.write(f"{type(away).__name__}: call it again\n")
        return 1
    finally:
        await state.close()
    _print({**done.report(), "dry_run": parsed.dry_run})
    return 0


def _print(document: object) -> None:
    sys.stdout.write(orjson.dumps(document).decode() + "\n")


COMMANDS: dict[str, Callable[[Channel, ServiceConfig, argparse.Namespace], Coroutine[Any, Any, int]]] = {
    "deadletters": _deadletters,
    "trace": _trace,
    "erase": _erase,
}
