"""What a command needs before it can be planned: its conversation, the message it points at, its files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from shared.channel import Account, Call, Channel, KeepsUploads, PlanContext, Refused, ReplyReference, TakesAddresses
from shared.contract import ids
from shared.contract.accounts import AccountRecord
from shared.contract.capabilities import LARGEST_FILE
from shared.contract.commands import Command, File, MarkRead, MessageEdit, MessageSend, named_files
from shared.contract.content import AttachmentKind
from shared.contract.errors import ErrorCode
from shared.contract.statuses import Warning, WarningCode
from shared.media.blobs import BlobMissing, Blobs
from shared.media.facts import Facts
from shared.media.fetch import FetchFailed, FetchRefused, FetchTooLarge, UrlFetcher, check_address
from shared.media.outcomes import can_be
from shared.media.processing import Processor
from shared.media.sniff import HEAD, SCRIPT, moves, sniff
from shared.media.types import PROGRAMS, claim, claimed_by_name, denies
from shared.policy.conversation import Conversation
from shared.policy.judge import unknown_type
from shared.runtime.accounts.capabilities import capabilities_of
from shared.runtime.outbound.conversion import Converter, FileNotYet
from shared.runtime.outbound.planning import addressee
from shared.runtime.reporting.identity import Identities, merged_peers
from shared.state.store import Opened, Store


@dataclass(frozen=True, slots=True)
class Target:
    """What a command points at: `id` is ours; `reference` is None when it is not known or still pending."""

    id: str | None = None
    provider_id: str | None = None
    quote: str | None = None


def target_of(command: Command) -> Target:
    """The message a reply, an edit, a deletion, a reaction or a read mark is about."""
    if isinstance(command, MessageSend):
        reply = command.reply_to
        return Target() if reply is None else Target(reply.message_id, reply.provider_message_id, reply.quote)
    return Target(getattr(command, "message_id", None), getattr(command, "provider_message_id", None))


async def conversation_of(
    channel: Channel, identities: Identities, store: Store, command: Command
) -> tuple[str, Mapping[str, str]]:
    """The conversation a command is for, under the name it has kept, and the address its `to` gives.

    A link to a conversation that has become part of another one leads there, but for a command that has begun before:
    what is known of its calls stays where they were made. Raises Refused, StateUnavailable.
    """
    name = channel.capabilities.channel
    peer, address = addressee(channel, command)
    if command.conversation_id is not None:
        try:
            of_channel, account_id, _ = ids.split_conversation_id(command.conversation_id)
        except ValueError:
            raise Refused(ErrorCode.INVALID_COMMAND, "It names no conversation.", field="conversation_id") from None
        if (of_channel, account_id) != (name, command.account_id):
            detail = f"It names no conversation of {channel.capabilities.label} and this account."
            raise Refused(ErrorCode.INVALID_COMMAND, detail, field="conversation_id")
        root = await identities.root_of(command.conversation_id)
        begun = {command.command_id, getattr(command, "resend_command_id", command.command_id)}
        if root != command.conversation_id:
            for command_id in begun:
                if await store.has_ledger(command.conversation_id, command_id):
                    return command.conversation_id, address
        return root, address
    resolved = await identities.resolve(command.account_id, peer, ())
    return await identities.root_of(ids.conversation_id(name, command.account_id, resolved)), address


async def referred(store: Store, conversation_id: str, target: Target, opened: Opened) -> str | None:
    """What state has of the target, also of one in a conversation that has become part of this one: see
    `resolve_target`. Raises StateUnavailable."""
    if target.id is None:
        return None
    known = opened.targets.get(target.id)
    channel, account_id, _ = ids.split_conversation_id(conversation_id)
    for peer in merged_peers(opened.conversation):
        if known is None:
            _, found = await store.recall(ids.conversation_id(channel, account_id, peer), (), [target.id])
            known = found.get(target.id)
    return known


def resolve_target(
    command: Command, target: Target, known: str | None
) -> tuple[ReplyReference | None, tuple[Warning, ...]]:
    """The provider's reference of the target, or a warning that the reply goes without.

    `known` is what state has: None for an unknown message, '' for one that has not been sent yet. Raises Refused:
    `reply_target_pending` always, `reply_target_unknown` under `reply_policy: strict`; `message_pending` and
    `message_unknown` for what is no reply.
    """
    if target.id is None and target.provider_id is None:
        return None, ()
    if known:
        return ReplyReference(known, target.quote), ()
    if target.provider_id:
        return ReplyReference(target.provider_id, target.quote), ()
    if not isinstance(command, MessageSend):
        if known == "":
            raise Refused(ErrorCode.MESSAGE_PENDING, field="message_id")
        if isinstance(command, MarkRead):
            return None, ()
        raise Refused(ErrorCode.MESSAGE_UNKNOWN, field="message_id")
    if known == "":
        raise Refused(ErrorCode.REPLY_TARGET_PENDING, field="reply_to.message_id")
    if command.reply_policy == "strict":
        raise Refused(ErrorCode.REPLY_TARGET_UNKNOWN, field="reply_to.message_id")
    return None, (
        Warning(code=WarningCode.REPLY_TO_DROPPED, detail="The message replied to is not known on this channel."),
    )


def own_blob(account: AccountRecord, file: File) -> str | None:
    """The object key that a file of a command names: '' for one its workspace has no business with, None for a file
    that is elsewhere."""
    key = file.blob
    if file.attachment_id is not None:
        known = "/" not in file.attachment_id
        key = ids.blob_key(account.workspace_id, account.account_id, file.attachment_id) if known else ""
    return key if key is None or ids.is_blob_of(account.workspace_id, key) else ""


def check_fetched(url: str, field: str) -> None:
    """Raises Refused for an address that is not fetched, whatever is there."""
    try:
        check_address(url)
    except FetchRefused as refused:
        raise Refused(ErrorCode.FILE_UNAVAILABLE, f"The file could not be fetched: {refused}.", field=field) from None


Prepared = tuple[File, tuple[Warning, ...]]


class Preparer:
    """Makes the files of commands ready: fetched, looked at, converted into what the channel takes."""

    def __init__(self, blobs: Blobs, fetcher: UrlFetcher, channel: Channel, processor: Processor) -> None:
        self._blobs = blobs
        self._channel = channel
        self._converter = Converter(processor)
        # The digest that a command tells is nobody's word for what the bytes are.
        self._digest = processor.digest if isinstance(channel, KeepsUploads) else None
        self._addresses = channel if isinstance(channel, TakesAddresses) else None
        self._fetcher = fetcher

    async def files_of(self, account: Account, command: Command) -> tuple[Prepared, ...]:
        """The files of a command as they go out, and what is different about them. Raises Refused.

        A blob of another workspace, or of the connectors' own, is one that is not there: nothing tells them apart.
        """
        if not isinstance(command, MessageSend | MessageEdit):
            return ()
        named = named_files(command.content)
        return tuple([await self._prepared(account, command, field, file) for field, file in named])

    async def _prepared(self, account: Account, command: Command, field: str, file: File) -> Prepared:
        if file.url is not None:
            if self._addresses is not None and self._addresses.takes_address(file, account.record):
                return file, ()
            blob = await self._fetched(account, command.command_id, file.url, field)
        elif (named := own_blob(account.record, file)) is None:
            return file, ()
        else:
            blob = named
        try:
            if not blob:
                raise BlobMissing
            size, version = await self._blobs.stat(blob)
            head = await self._blobs.head(blob, HEAD) if size else b""
            found = sniff(head, file.filename)
        except BlobMissing:
            raise Refused(ErrorCode.FILE_UNAVAILABLE, field=field) from None
        if size > LARGEST_FILE:
            raise Refused(ErrorCode.FILE_TOO_LARGE, field=field, limit=LARGEST_FILE, actual=size)
        name = file.filename or (PurePosixPath(unquote(urlsplit(file.url).path)).name or None if file.url else None)
        animated = moves(head) if file.kind is AttachmentKind.STICKER else file.animated
        facts = {"blob": blob, "attachment_id": None, "url": None, "size": size, "filename": name, "animated": animated}
        known = file.model_copy(update={**facts, "sha256": None})
        able = capabilities_of(self._channel, account.record, None)
        if found is None:
            told = claim(file.mime_type) or claimed_by_name(name)
            if told is None and (refusal := unknown_type(able, field)) is not None:
                raise Refused(refusal.code, refusal.detail, **refusal.facts)
            return await self._named(known, blob, version, field), ()
        if _pretends(known, found):
            raise Refused(ErrorCode.FILE_TYPE_MISMATCH, field=field)
        exact, corrected = _as_it_is(known, found, field)
        try:
            fitted, changed = await self._converter.fitted(account.record, able.files, exact, found, version, field)
        except BlobMissing:
            raise Refused(ErrorCode.FILE_UNAVAILABLE, field=field) from None
        return await self._named(fitted, blob, version, field), (*corrected, *changed)

    async def _named(self, file: File, blob: str, version: str, field: str) -> File:
        """The file with the digest of its bytes, where the channel has a use for it. Raises Refused."""
        if file.sha256 is not None or self._digest is None:
            return file
        try:
            return file.model_copy(update={"sha256": await self._digest(blob, version)})
        except BlobMissing:
            raise Refused(ErrorCode.FILE_UNAVAILABLE, field=field) from None

    async def _fetched(self, account: Account, command_id: str, url: str, field: str) -> str:
        """The blob a URL has been copied to, once per command: the provider gets bytes, not an address."""
        digest = hashlib.sha256(f"{command_id} {url}".encode()).hexdigest()
        blob = f"fetched/{account.workspace_id}/{account.account_id}/{digest}"  # one prefix: one lifecycle rule
        try:
            if await self._blobs.exists(blob):
                return blob
            await self._blobs.put(blob, self._fetcher.fetch(url, max_bytes=LARGEST_FILE))
        except FetchTooLarge as large:
            limit = LARGEST_FILE
            raise Refused(ErrorCode.FILE_TOO_LARGE, field=field, limit=limit, actual=large.size) from None
        except FetchRefused as refused:
            kind = FileNotYet if isinstance(refused, FetchFailed) else Refused
            raise kind(ErrorCode.FILE_UNAVAILABLE, f"The file could not be fetched: {refused}.", field=field) from None
        return blob


def names_url(command: Command) -> bool:
    """Whether a file of the command has to be fetched from wherever its URL leads."""
    return isinstance(command, MessageSend | MessageEdit) and any(file.url for _, file in named_files(command.content))


def _pretends(file: File, found: str) -> bool:
    """Whether it is a program that is told to be something else."""
    told = claim(file.mime_type) or claimed_by_name(file.filename)
    if found == SCRIPT:
        return told is not None and denies(found, told)
    return found in PROGRAMS and (told is None or told not in (*PROGRAMS, "application/x-msdownload"))


def _as_it_is(file: File, found: str, field: str) -> Prepared:
    """The file with the type of its bytes, and a warning where the command says another. A kind that the bytes cannot
    be is not asked for either: the channel picks the one that fits."""
    told = claim(file.mime_type)
    by_name = None if told else claimed_by_name(file.filename)
    denied = next((claimed for claimed in (told, by_name) if claimed and denies(found, claimed)), None)
    mime_type = file.mime_type if told and not denied else found
    sound = file.kind in (AttachmentKind.AUDIO, AttachmentKind.VOICE) or (by_name or "").startswith("audio/")
    if mime_type == "video/mp4" and not told and sound:
        mime_type = "audio/mp4"  # the same boxes: only the sender knows that there is no picture
    other_kind = file.kind is not None and not can_be(file.kind, Facts(found))
    exact = file.model_copy(update={"mime_type": mime_type, "kind": None if other_kind else file.kind})
    if not denied and not other_kind:
        return exact, ()
    detail = f"{field} goes out as {found}, which it is, not as {denied or file.kind}."
    return exact, (Warning(code=WarningCode.TYPE_CORRECTED, detail=detail),)


def noted(calls: Sequence[Call], prepared: Sequence[Prepared], others: Sequence[Warning] = ()) -> list[Call]:
    """The calls, each with what is different about the files in it; the first with what is about none of them."""
    left = [(file, warnings) for file, warnings in prepared if warnings]
    told: list[list[Warning]] = []
    for call in calls:
        own: list[Warning] = []
        for sent in call.files.values():
            found = next((at for at, (file, _) in enumerate(left) if _same(file, sent)), None)
            own += left.pop(found)[1] if found is not None else ()
        told.append(own)
    if told:
        told[0] = [*others, *(warning for _, warnings in left for warning in warnings), *told[0]]
    return [
        replace(call, warnings=(*_together(own), *call.warnings)) if own else call
        for call, own in zip(calls, told, strict=True)
    ]


def _same(file: File, sent: File) -> bool:
    return (file.blob, file.url, file.filename) == (sent.blob, sent.url, sent.filename)


def _together(warnings: Sequence[Warning]) -> tuple[Warning, ...]:
    """One warning for each code."""
    details: dict[WarningCode, list[str]] = {}
    for warning in warnings:
        details.setdefault(warning.code, []).append(warning.detail)
    return tuple(Warning(code=code, detail=" ".join(said)) for code, said in details.items())


def context_for(
    account: Account,
    conversation: Conversation,
    reference: ReplyReference | None,
    files: tuple[File, ...],
    thread: Mapping[str, str] | None = None,
) -> PlanContext:
    """Everything `plan` may know."""
    return PlanContext(
        account=account.record,
        address=conversation.address,
        target=reference,
        last_inbound=conversation.last_ref,
        files=files,
        thread=thread or {},
    )
