"""The command line of a service that needs no infrastructure: `normalise`, `plan`, `capabilities`."""

from __future__ import annotations

import argparse
import codecs
import os
import sys
import traceback
from functools import partial
from pathlib import Path

import orjson

from shared.channel import Channel
from shared.contract.accounts import AccountRecord
from shared.contract.errors import ErrorCode
from shared.runtime.outbound.printed import refused
from shared.runtime.tools import offline
from shared.runtime.tools.known_contacts import KnownContacts
from shared.runtime.tools.payloads import payloads_of


def add_offline_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-commands to a service's argument parser."""
    for name, help_text in (
        ("normalise", "print the events of provider payloads, one CloudEvents JSON per line"),
        ("plan", "print the provider calls of commands, or their refusals, one JSON per line"),
    ):
        command = commands.add_parser(name, help=help_text)
        command.add_argument("files", nargs="+", metavar="FILE", help="a file, or - for standard input")
        command.add_argument("--account", help="account id instead of the placeholder")
        command.add_argument("--workspace", help="workspace id instead of the placeholder")
    commands.add_parser("capabilities", help="print what the channel can do, as JSON")


def run_offline(channel: Channel, arguments: argparse.Namespace) -> int:
    """Carry out one of the sub-commands. Raises ValidationError when the workspace cannot be one.

    Returns the exit status: 2 when a file cannot be opened, 1 when a defect of ours cost an answer, else 0.
    """
    try:
        status = _run(channel, arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has seen enough; what is still buffered goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


def _run(channel: Channel, arguments: argparse.Namespace) -> int:
    if arguments.command == "capabilities":
        _print(channel.capabilities.model_dump(mode="json", exclude_none=True))
        return 0
    workspace = arguments.workspace or offline.PLACEHOLDER_WORKSPACE
    # A workspace that is none is said once, before the first payload.
    AccountRecord(account_id=offline.PLACEHOLDER_ACCOUNT, workspace_id=workspace, channel=channel.capabilities.channel)
    contacts = KnownContacts(channel.capabilities.channel)
    answer = partial(_normalised, contacts) if arguments.command == "normalise" else _plan
    status = 0
    for name in arguments.files:
        try:
            content = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        except OSError as unreadable:
            sys.stderr.write(f"{name}: {unreadable.strerror}\n")
            status = 2
            continue
        for payload in payloads_of(channel, name, content):
            try:
                entries = answer(channel, payload, arguments)
            except Exception as bug:  # its text may be somebody's: where it happened is enough
                last = traceback.extract_tb(bug.__traceback__)[-1]
                sys.stderr.write(f"{name}: {type(bug).__name__} in {Path(last.filename).name}:{last.lineno}\n")
                entries = [offline.defect(channel, payload, command=arguments.command == "plan")]
                status = status or 1
            for entry in entries:
                _print(entry)
    return status


def _normalised(
    contacts: KnownContacts, channel: Channel, payload: bytes, arguments: argparse.Namespace
) -> list[dict[str, object]]:
    return offline.normalise(
        channel,
        payload,
        account_id=arguments.account,
        workspace_id=arguments.workspace or offline.PLACEHOLDER_WORKSPACE,
        contacts=contacts,
    )


def _plan(channel: Channel, payload: bytes, arguments: argparse.Namespace) -> list[dict[str, object]]:
    try:
        documents = orjson.loads(payload.removeprefix(codecs.BOM_UTF8))
    except orjson.JSONDecodeError:
        return [refused(ErrorCode.INVALID_COMMAND, "The command is not JSON.")]
    return [
        entry
        for document in (documents if isinstance(documents, list) else [documents])
        for entry in offline.plan(channel, document, account_id=arguments.account, workspace_id=arguments.workspace)
    ]


def _print(entry: object) -> None:
    sys.stdout.buffer.write(orjson.dumps(entry) + b"\n")
