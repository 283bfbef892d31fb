"""`accounts`: the tools around `channels.accounts`, and the accounts that other tools need."""

from __future__ import annotations

import argparse
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import orjson

from shared.channel import Channel, KeepsTokens
from shared.contract.topics import Topics
from shared.runtime.accounts.registry import AccountRegistry, Standing
from shared.runtime.accounts.sealing import CannotOpen, new_key, public_key
from shared.runtime.accounts.tokens import SealedTokens
from shared.runtime.process.connections import (
    ServiceConfig,
    connect,
    kafka_log,
    require_topics,
    state_client,
    topic_specs,
)
from shared.runtime.tools.accounts_file import apply_accounts, read_accounts_file
from shared.runtime.tools.resealing import reseal_accounts
from shared.state.client import StateUnavailable
from shared.state.store import Store
from shared.stream.log import Log
from shared.stream.table import Table


def add_accounts_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `accounts` and its actions to a service's argument parser."""
    accounts = commands.add_parser("accounts", help="write accounts, or show the sealing keys")
    actions = accounts.add_subparsers(dest="action", required=True)
    apply = actions.add_parser("apply", help="make the accounts topic hold the accounts of a YAML file")
    apply.add_argument("file", type=Path, metavar="FILE")
    apply.add_argument("--prune", action="store_true", help="remove this channel's accounts that are not in the file")
    reseal = actions.add_parser("reseal", help="seal to the first SEALING_KEY what is sealed to the others")
    for written in (apply, reseal):
        written.add_argument("--json", action="store_true", help="print one JSON object")
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
    return await {"apply": _apply, "reseal": _reseal}[parsed.action](channel, config, parsed)


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
    records = read_accounts_file(parsed.file, key)
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


async def known_accounts(channel: Channel, config: ServiceConfig) -> AccountRegistry:
    """The accounts as they are now. Raises CannotOpen when it is the key that is wrong."""
    name = channel.capabilities.channel
    registry = AccountRegistry(name, config.service.private_key)
    async with _connected(config, "accounts") as (stream, topics):
        await require_topics(stream, topics, name)
        async with followed(stream, topics, registry):
            pass
    return registry


@asynccontextmanager
async def followed(stream: Log, topics: Topics, registry: AccountRegistry) -> AsyncIterator[None]:
    """Inside, all accounts are known and followed. Raises CannotOpen when it is the key that is wrong."""
    async with Table(stream, topics.capabilities, registry.apply_claim) as claims:
        await claims.ready.wait()
        async with Table(stream, topics.accounts, registry.apply) as accounts:
            await accounts.ready.wait()
            if registry.locked_out:
                raise CannotOpen("SEALING_KEY is not set, or not the key that the accounts are sealed to")
            for account_id, standing in registry.standings().items():
                if standing not in (Standing.OPENED, Standing.OLD_FORMAT):
                    sys.stderr.write(f"{account_id}: left out, its record is {standing}\n")
            yield
