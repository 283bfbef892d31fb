"""`accounts`: the tools around `channels.accounts`, and the accounts that other tools need."""

from __future__ import annotations

import argparse
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson

from shared.channel import Channel, KeepsTokens
from shared.contract.topics import Topics
from shared.media.blobs import Blobs
from shared.runtime.accounts.checking import check
from shared.runtime.accounts.registry import AccountRegistry, Standing
from shared.runtime.accounts.rules import Rules
from shared.runtime.accounts.sealing import CannotOpen, new_key, public_key
from shared.runtime.accounts.tokens import SealedTokens
from shared.runtime.process.connections import (
    ServiceConfig,
    connect,
    kafka_log,
    require_topics,
    share_state,
    state_client,
    topic_specs,
)
from shared.runtime.tools.accounts_file import (
    apply_accounts,
    present_accounts,
    read_accounts_file,
    seal_accounts_file,
)
from shared.runtime.tools.resealing import reseal_accounts
from shared.state.client import StateUnavailable
from shared.state.store import Store
from shared.stream.log import Log, acknowledged
from shared.stream.table import Table


def add_accounts_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `accounts` and its actions to a service's argument parser."""
    accounts = commands.add_parser("accounts", help="write, list and check accounts, or show the sealing keys")
    actions = accounts.add_subparsers(dest="action", required=True)
    apply = actions.add_parser("apply", help="make the accounts topic hold the accounts of a YAML file")
    apply.add_argument("file", type=Path, metavar="FILE")
    apply.add_argument("--prune", action="store_true", help="remove this channel's accounts that are not in the file")
    listing = actions.add_parser("list", help="print this channel's accounts and how their records stand")
    check = actions.add_parser("check", help="ask the provider whether credentials, rights and webhooks are right")
    check.add_argument("accounts", nargs="*", metavar="ACCOUNT_ID", help="only these")
    seal = actions.add_parser("seal", help="print a YAML file with its credentials sealed; needs no private key")
    seal.add_argument("file", type=Path, metavar="FILE")
    seal.add_argument(
        "--public-key", metavar="KEY", help="as `accounts public-key` prints it; else that of SEALING_KEY"
    )
    remove = actions.add_parser("remove", help="take accounts off the topic")
    remove.add_argument("accounts", nargs="+", metavar="ACCOUNT_ID")
    reseal = actions.add_parser("reseal", help="seal to the first SEALING_KEY what is sealed to the others")
    for printing in (apply, reseal, remove):
        printing.add_argument("--json", action="store_true", help="print one JSON object")
    for printing in (listing, check):
        printing.add_argument("--json", action="store_true", help="print one JSON object for each account")
    actions.add_parser("public-key", help="print the key that credentials are sealed to")
    actions.add_parser("new-key", help="print a new private key for SEALING_KEY")


async def run_accounts(channel: Channel, config: ServiceConfig, parsed: argparse.Namespace) -> int:
    """Carry out one of the actions. Returns the exit status; raises LogUnavailable, CannotOpen, InvalidAccountsFile."""
    if parsed.action == "new-key":
        print(new_key())
        return 0
    if parsed.action == "public-key":
        print(public_key(_needed(config)))
        return 0
    if parsed.action == "seal":
        key = parsed.public_key or public_key(_needed(config))
        sys.stdout.write(seal_accounts_file(parsed.file, key, Rules.of(channel)))
        return 0
    return await _ACTIONS[parsed.action](channel, config, parsed)


def _needed(config: ServiceConfig) -> str:
    if config.service.private_key is None:
        raise CannotOpen("SEALING_KEY is not set")
    return config.service.private_key


def _print_outcome(outcome: Mapping[str, Sequence[str]], parsed: argparse.Namespace) -> None:
    if parsed.json:
        print(orjson.dumps(outcome).decode())
        return
    for what, account_ids in outcome.items():
        print(f"{what}: {', '.join(account_ids) or '-'}")


@asynccontextmanager
async def _connected(config: ServiceConfig, client_id: str) -> AsyncIterator[tuple[Log, Topics]]:
    stream = kafka_log(config.kafka, client_id)
    await connect(stream)
    try:
        yield stream, Topics(config.kafka.topic_prefix)
    finally:
        await stream.stop()


async def _apply(channel: Channel, config: ServiceConfig, parsed: argparse.Namespace) -> int:
    key, name = config.service.private_key, channel.capabilities.channel
    records = read_accounts_file(parsed.file, key, Rules.of(channel))
    async with _connected(config, "accounts-apply") as (stream, topics):
        if config.kafka.create_topics:
            await stream.ensure_topics(topic_specs(topics, name, config.kafka.partitions))
        outcome = await apply_accounts(stream, topics, records, key, prune=name if parsed.prune else None)
    _print_outcome(outcome, parsed)
    return 0


async def _reseal(channel: Channel, config: ServiceConfig, parsed: argparse.Namespace) -> int:
    keys, name = _needed(config), channel.capabilities.channel
    state = state_client(config.state)
    # Every account that is asked about has been opened: a value that no key opens is of a key that is gone.
    tokens = SealedTokens(name, Store(state), keys, lambda _: True) if isinstance(channel, KeepsTokens) else None
    try:
        async with _connected(config, "accounts-reseal") as (stream, topics):
            outcome = await reseal_accounts(stream, topics, name, keys, tokens)
    except StateUnavailable:
        sys.stderr.write("the state store does not answer\n")
        return 1
    finally:
        await state.close()
    _print_outcome(outcome, parsed)
    return 1 if outcome["unopened"] else 0


async def _list(channel: Channel, config: ServiceConfig, parsed: argparse.Namespace) -> int:
    name = channel.capabilities.channel
    registry = AccountRegistry.of(channel, config.service.private_key)
    async with _connected(config, "accounts-list") as (stream, topics):
        present = await present_accounts(stream, topics)
        async with _tables(stream, topics, registry):
            pass
    for account_id, record in sorted(present.items()):
        if record.channel != name:
            continue
        standing = registry.standing(account_id) or "disabled"
        facts = {**record.model_dump(exclude={"sealed", "settings"}, exclude_none=True), "standing": standing}
        line = f"{account_id}: {standing}, {record.workspace_id}, {record.mode}, {record.external_id or '-'}"
        print(orjson.dumps(facts).decode() if parsed.json else line)
    return 0


async def _remove(channel: Channel, config: ServiceConfig, parsed: argparse.Namespace) -> int:
    async with _connected(config, "accounts-remove") as (stream, topics):
        present = await present_accounts(stream, topics)
        ours = {name for name, record in present.items() if record.channel == channel.capabilities.channel}
        outcome = {
            "removed": [name for name in parsed.accounts if name in ours],
            "unknown": [name for name in parsed.accounts if name not in ours],
        }
        await acknowledged([await stream.enqueue(topics.accounts, name.encode(), None) for name in outcome["removed"]])
    _print_outcome(outcome, parsed)
    return 1 if outcome["unknown"] else 0


async def _check(channel: Channel, config: ServiceConfig, parsed: argparse.Namespace) -> int:
    registry, state = await known_accounts(channel, config), state_client(config.state)
    # Tokens that rotate are the store's: refreshed by us alone, they would be taken from under the service.
    share_state(channel, Store(state), Blobs(config.blobs.url), registry, config.service.private_key)
    status = 0
    await channel.start()
    try:
        for account_id in parsed.accounts or sorted(registry.standings()):
            problems = await _problems(channel, registry, account_id, config.http.public_url)
            status = 1 if problems else status
            found = {"account_id": account_id, "ok": not problems, "problems": problems}
            print(orjson.dumps(found).decode() if parsed.json else f"{account_id}: {' '.join(problems) or 'ok'}")
    except StateUnavailable:
        sys.stderr.write("the state store does not answer\n")
        return 1
    finally:
        await channel.stop()
        await state.close()
    return status


async def _problems(channel: Channel, registry: AccountRegistry, account_id: str, base_url: str | None) -> list[str]:
    account = registry.served(account_id)
    if account is None:
        standing = registry.standing(account_id)
        return [f"Its record is {standing}." if standing else "There is no such account."]
    return (await check(channel, account, base_url)).problems


_ACTIONS: dict[str, Callable[[Channel, ServiceConfig, argparse.Namespace], Coroutine[Any, Any, int]]] = {
    "apply": _apply,
    "reseal": _reseal,
    "list": _list,
    "remove": _remove,
    "check": _check,
}


async def known_accounts(channel: Channel, config: ServiceConfig) -> AccountRegistry:
    """The accounts as they are now. Raises CannotOpen when it is the key that is wrong."""
    name = channel.capabilities.channel
    registry = AccountRegistry.of(channel, config.service.private_key)
    async with _connected(config, "accounts") as (stream, topics):
        await require_topics(stream, topics, name)
        async with followed(stream, topics, registry):
            pass
    return registry


@asynccontextmanager
async def followed(stream: Log, topics: Topics, registry: AccountRegistry) -> AsyncIterator[None]:
    """Inside, all accounts are known and followed. Raises CannotOpen when it is the key that is wrong."""
    async with _tables(stream, topics, registry):
        if registry.locked_out:
            raise CannotOpen("SEALING_KEY is not set, or not the key that the accounts are sealed to")
        for account_id, standing in registry.standings().items():
            if standing not in (Standing.OPENED, Standing.OLD_FORMAT):
                sys.stderr.write(f"{account_id}: left out, its record is {standing}\n")
        yield


@asynccontextmanager
async def _tables(stream: Log, topics: Topics, registry: AccountRegistry) -> AsyncIterator[None]:
    async with Table(stream, topics.capabilities, registry.apply_claim) as claims:
        await claims.ready.wait()
        async with Table(stream, topics.accounts, registry.apply) as accounts:
            await accounts.ready.wait()
            yield
