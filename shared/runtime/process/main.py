"""The command line of a service: `run` is the service itself, the rest are its tools."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import orjson
import structlog
import uvloop
from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsError

from shared.channel import Channel, KeepsRaw, ProviderError, ReadsHistory, RecognisesSecrets, RegistersWebhook
from shared.contract import ids
from shared.contract.topics import Topics
from shared.contract.version import version
from shared.media.blobs import Blobs, BlobsUnavailable
from shared.runtime.accounts.registry import AccountRegistry
from shared.runtime.accounts.sealing import CannotOpen, public_key
from shared.runtime.inbound.backfill import backfill
from shared.runtime.inbound.raw import RawWriter, body_store
from shared.runtime.inbound.redrive import UnreadableBodies
from shared.runtime.logs import configure_logs
from shared.runtime.process.accounts_command import (
    add_accounts_commands,
    followed,
    known_accounts,
    run_accounts,
)
from shared.runtime.process.connections import (
    ServiceConfig,
    connect,
    kafka_log,
    require_topics,
    share_state,
    state_client,
)
from shared.runtime.process.operate import COMMANDS, add_commands, moment_of
from shared.runtime.process.service import Service
from shared.runtime.roles import Common
from shared.runtime.settings import COMMON, read
from shared.runtime.tools.accounts_file import InvalidAccountsFile
from shared.runtime.tools.cli import add_offline_commands, run_offline
from shared.runtime.tools.deadletters import Wanted
from shared.runtime.tools.rebuild import rebuild
from shared.runtime.tools.replay import Replay
from shared.runtime.tools.settings import problems_of, settings_of
from shared.state.client import StateUnavailable
from shared.state.store import Store
from shared.stream.deadletter import DeadLetters
from shared.stream.errors import LogUnavailable

log = structlog.get_logger()

S = TypeVar("S", bound=BaseSettings)
_OFFLINE = ("normalise", "plan", "capabilities")
_WITHOUT_A_KEY = (
    ("accounts", "new-key"),
    ("accounts", "remove"),
    ("redrive", None),
    ("trace", None),
    ("erase", None),
    *(("deadletters", action) for action in ("list", "show", "redrive")),
)


def run(build: Callable[[S], Channel], settings: type[S], arguments: list[str] | None = None) -> int:
    """Carry out what the command line asks; returns the exit status.

    0 done; 1 it failed while running; 2 the settings or the command line are not usable.
    """
    parsed = _parser().parse_args(arguments)
    if parsed.command == "settings":
        return _print_settings(_groups(settings))
    try:
        channel = build(read(settings))
        if parsed.command in _OFFLINE:
            return run_offline(channel, parsed)
        config = ServiceConfig()
    except (ValidationError, SettingsError) as invalid:
        for variable, problem in problems_of(invalid, _groups(settings)):
            _say_wrong(parsed, variable, problem)
        return 2
    try:
        _require_key(config, parsed)
    except CannotOpen as unusable:
        _say_wrong(parsed, "SEALING_KEY", str(unusable))
        return 2
    configure_logs(config.service.log_level, channel.secrets if isinstance(channel, RecognisesSecrets) else ())
    try:
        return uvloop.run(_COMMANDS[parsed.command](channel, config, parsed))
    except (LogUnavailable, InvalidAccountsFile, CannotOpen, OSError) as failure:
        sys.stderr.write(f"{type(failure).__name__}: {failure}\n")
        return 1
    except Exception as bug:  # its text may be somebody's: the log says what and where
        log.critical("died", command=parsed.command, exc_info=bug)
        return 1


def _require_key(config: ServiceConfig, parsed: argparse.Namespace) -> None:
    """Raises CannotOpen when what is asked cannot be done without the sealing key, or the key is none.

    Every role needs it, ingress as well: secrets of webhooks are among the credentials, and one rule is easier to keep
    than one for each channel.
    """
    key = config.service.private_key
    if key is None and parsed.command == "run":
        raise CannotOpen("is not set: no credentials can be opened without it; `accounts new-key` makes one")
    if key is not None and (parsed.command, getattr(parsed, "action", None)) not in _WITHOUT_A_KEY:
        public_key(key)


def _groups(settings: type[BaseSettings]) -> list[type[BaseSettings]]:
    """The groups of all services, and the channel's own."""
    return [*COMMON, settings]


def _say_wrong(parsed: argparse.Namespace, variable: str, problem: str) -> None:
    """What keeps a service from starting is a line of its log; who called a tool reads a sentence."""
    if parsed.command == "run":
        configure_logs()
        log.error("setting_invalid", variable=variable, problem=problem)
    else:
        sys.stderr.write(f"setting {variable}: {problem}\n")


def _print_settings(groups: Iterable[type[BaseSettings]]) -> int:
    for setting in settings_of(groups):
        print(f"{setting.variable}={setting.default}\n    {setting.meaning} ({setting.takes})")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="A channel connector.")
    commands = parser.add_subparsers(dest="command")
    parser.set_defaults(command="run")
    parser.add_argument("--version", action="version", version=version())
    commands.add_parser("run", help="run the service (the default)")
    commands.add_parser("settings", help="list all settings, with what each takes, its default and its meaning")
    add_offline_commands(commands)
    add_accounts_commands(commands)
    webhook = commands.add_parser("webhook", help="register or check webhooks at the provider")
    webhook.add_argument("action", choices=("register", "check"))
    webhook.add_argument("--account", help="only this account")
    redrive = commands.add_parser("redrive", help="send dead letters back to where they came from")
    redrive.add_argument("--code", help="only those with this code")
    redrive.add_argument("--limit", type=int, help="at most so many")
    history = commands.add_parser("backfill", help="fetch what the provider shows of an account's past conversations")
    history.add_argument("account", metavar="ACCOUNT_ID")
    history.add_argument("--conversation", metavar="ID", help="only this conversation")
    history.add_argument("--days", type=float, default=90.0, help="only what changed in so many days (default: 90)")
    replay = commands.add_parser("replay", help="after a mapper was mended: publish anew what it makes otherwise now")
    replay.add_argument("--from", dest="since", required=True, type=moment_of, metavar="TIME", help="7d, or RFC 3339")
    replay.add_argument("--to", dest="until", type=moment_of, metavar="TIME", help="until then (default: now)")
    replay.add_argument("--dry-run", action="store_true", help="only count")
    add_commands(commands)
    commands.add_parser("rebuild", help="refill the state store from the topics after it has lost its data")
    return parser


async def _run(channel: Channel, config: ServiceConfig, _: argparse.Namespace) -> int:
    service = Service(channel, config)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, service.stop)
    await service.run()
    return 0


async def _webhook(channel: Channel, config: ServiceConfig, parsed: argparse.Namespace) -> int:
    base_url = config.http.public_url
    if not isinstance(channel, RegistersWebhook):
        sys.stderr.write("This channel's webhooks are registered in the provider's own console.\n")
        return 2
    if base_url is None:
        sys.stderr.write("setting HTTP_PUBLIC_URL: needed to know where providers reach us\n")
        return 2
    status = 0
    await channel.start()
    try:
        for account in await known_accounts(channel, config):
            if account.record.mode != "webhook" or parsed.account not in (None, account.account_id):
                continue
            try:
                if parsed.action == "register":
                    await channel.register_webhook(account, base_url)
                problem = await channel.check_webhook(account, base_url)
            except ProviderError as refused:
                problem = str(refused.failure.code)
            print(f"{account.account_id}: {problem or 'ok'}")
            status = 1 if problem else status
    finally:
        await channel.stop()
    return status


async def _redrive(channel: Channel, config: ServiceConfig, parsed: argparse.Namespace) -> int:
    name, topics = channel.capabilities.channel, Topics(config.kafka.topic_prefix)
    stream, blobs = kafka_log(config.kafka, "redrive"), Blobs(config.blobs.url)
    dead = DeadLetters(stream, lambda _: topics.deadletter(name), store_body=body_store(blobs))
    writer = RawWriter(name, stream, topics, blobs, dead, keeps_raw=isinstance(channel, KeepsRaw))
    bodies = UnreadableBodies(channel, writer, blobs, topics)
    await connect(stream)
    try:
        done = await dead.redrive(
            topics.deadletter(name), limit=parsed.limit, wanted=Wanted(parsed.code), instead=bodies.split
        )
    finally:
        await stream.stop()
    print(f"sent back: {done.sent}")
    if bodies.still_unreadable:
        print(f"still unreadable: {bodies.still_unreadable}")
    return 0


async def _rebuild(channel: Channel, config: ServiceConfig, _: argparse.Namespace) -> int:
    key = config.service.private_key
    topics = Topics(config.kafka.topic_prefix)
    registry = AccountRegistry.of(channel, key)
    stream = kafka_log(config.kafka, "rebuild")
    state = state_client(config.state)
    await connect(stream)
    try:
        await require_topics(stream, topics, channel.capabilities.channel)
        async with followed(stream, topics, registry):
            used = await rebuild(channel, registry, stream, Store(state), Blobs(config.blobs.url), topics)
    except StateUnavailable:
        sys.stderr.write("the state store does not answer\n")
        return 1
    finally:
        await stream.stop()
        await state.close()
    print(" ".join(f"{source}: {count}" for source, count in sorted(used.items())) or "nothing to read")
    return 0


async def _replay(channel: Channel, config: ServiceConfig, parsed: argparse.Namespace) -> int:
    topics = Topics(config.kafka.topic_prefix)
    registry = AccountRegistry.of(channel, config.service.private_key)
    stream, blobs = kafka_log(config.kafka, "replay"), Blobs(config.blobs.url)
    state = state_client(config.state)
    await connect(stream)
    common = Common(channel, topics, stream, Store(state), blobs, registry)
    try:
        async with followed(stream, topics, registry):
            run = Replay(channel, registry, stream, common, topics, dry=parsed.dry_run)
            done = await run.run(parsed.since, parsed.until or datetime.now(UTC))
    except (StateUnavailable, BlobsUnavailable) as away:
        sys.stderr.write(f"{type(away).__name__}: call it again\n")
        return 1
    finally:
        await common.close()
        await stream.stop()
        await state.close()
    print(orjson.dumps({**asdict(done), "dry_run": parsed.dry_run}).decode())
    return 0


async def _backfill(channel: Channel, config: ServiceConfig, parsed: argparse.Namespace) -> int:
    if not isinstance(channel, ReadsHistory):
        sys.stderr.write("This channel's provider shows no history.\n")
        return 2
    name = channel.capabilities.channel
    accounts = await known_accounts(channel, config)
    account = accounts.served(parsed.account)
    prefix = ids.conversation_id(name, parsed.account, "")
    if account is None or not (parsed.conversation or prefix).startswith(prefix):
        sys.stderr.write("no such account, or not its conversation\n")
        return 2
    peer = (parsed.conversation or prefix).removeprefix(prefix) or None
    topics = Topics(config.kafka.topic_prefix)
    stream = kafka_log(config.kafka, "backfill")
    state = state_client(config.state)
    blobs = Blobs(config.blobs.url)
    dead = DeadLetters(stream, lambda _: topics.deadletter(name), store_body=body_store(blobs))
    writer = RawWriter(name, stream, topics, blobs, dead, keeps_raw=isinstance(channel, KeepsRaw))
    share_state(channel, Store(state), blobs, accounts, config.service.private_key)
    since = datetime.now(UTC) - timedelta(days=parsed.days)
    await connect(stream)
    await channel.start()
    try:
        fetched = await backfill(channel, channel, account, writer, Store(state), since=since, peer=peer)
    except ProviderError as refused:
        sys.stderr.write(f"the provider refused: {refused.failure.code}\n")
        return 1
    except StateUnavailable:
        sys.stderr.write("the state store does not answer\n")
        return 1
    finally:
        await channel.stop()
        await stream.stop()
        await state.close()
    print(f"conversations: {fetched.conversations} items: {fetched.items}")
    return 0


_COMMANDS: dict[str, Callable[[Channel, ServiceConfig, argparse.Namespace], Coroutine[Any, Any, int]]] = {
    "run": _run,
    "accounts": run_accounts,
    "webhook": _webhook,
    "redrive": _redrive,
    "rebuild": _rebuild,
    "backfill": _backfill,
    "replay": _replay,
    **COMMANDS,
}
