"""A channel for the runtime's tests: small JSON in, one call per part out, and a provider that follows a script."""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from shared.channel import (
    Account,
    Accounts,
    Batch,
    Call,
    Event,
    Failure,
    Files,
    Forbidden,
    HealthChange,
    OpenFile,
    Outcome,
    PlanContext,
    ProviderError,
    RawItem,
    Receipt,
    ReceivedItem,
    Refused,
    StatusUpdate,
    UnknownRoute,
    WebhookRequest,
)
from shared.contract import ids
from shared.contract.accounts import AccountRecord
from shared.contract.base import Alias, AliasKind, Contact, Origin
from shared.contract.capabilities import (
    Capabilities,
    FileRule,
    Grade,
    Interactive,
    Rate,
    Rates,
    TextRules,
    TypingRules,
    WindowRule,
)
from shared.contract.commands import Command, CommandType, ContactBlock, InteractiveKind, MessageSend, OutTemplate
from shared.contract.content import Attachment, AttachmentKind, MediaContent, Referral, ReplyTo, TextContent
from shared.contract.errors import ErrorCode
from shared.contract.events import (
    AccountNotice,
    ConsentChanged,
    ContactReachability,
    ConversationReferred,
    EventType,
    Health,
    Message,
    MessageDeleted,
    MessageEdited,
    ProviderFact,
    ReactionChanged,
)
from shared.contract.statuses import State, Warning, WarningCode

CHANNEL = "plain"
SECRET = "a-secret"
WINDOW = WindowRule(kind="day", seconds=24 * 3600, guard=60, templates_outside=True)


class Killed(BaseException):
    """The process is gone: nothing but `finally` runs after it."""


class WorkDone(Exception):
    """Raised by a script: the provider has done the work, and what the behaviour says comes instead of its answer."""


def capabilities(**changes: Any) -> Capabilities:
    """Everything native, a window of a day, no quota, no rates, receipts up to read; `changes` replace fields."""
    facts: dict[str, Any] = {
        "channel": CHANNEL,
        "text": TextRules(max_length=1000, caption_max_length=1000),
        "files": dict.fromkeys(AttachmentKind, FileRule(grade=Grade.NATIVE)),
        "reply_to": Grade.NATIVE,
        "typing": TypingRules(grade=Grade.NATIVE, refresh_every=4.0, lasts=5.0),
        "edit": Grade.NATIVE,
        "delete": Grade.NATIVE,
        "reaction": Grade.NATIVE,
        "mark_read": Grade.NATIVE,
        "block": Grade.NATIVE,
        "templates": Grade.NATIVE,
        "location": Grade.NATIVE,
        "contacts": Grade.NATIVE,
        "interactive": (Interactive(kind=InteractiveKind.BUTTONS),),
        "receipts": (State.SENT, State.DELIVERED, State.READ),
        "initiates": "never",
        "windows": (WINDOW,),
        "rates": Rates(),
        "answers_uncertain": "never",
        "inbound": tuple(EventType),
        "content_kinds": ("text", "media"),
        "commands": tuple(CommandType),
    }
    return Capabilities(**(facts | changes))


@dataclass
class Provider:
    """The other end. `script` has what the next calls of a text do, first to last; without one a call succeeds.

    A behaviour is a `Failure` (raised, nothing done), `("done", behaviour)` (the work is done first), an
    `asyncio.Event` (hangs until it is set), an exception (raised), or a `Receipt` (answered).
    """

    script: dict[str, deque[Any]] = field(default_factory=lambda: defaultdict(deque))
    asked: list[Call] = field(default_factory=list)  # every call that reached the provider
    made: list[Call] = field(default_factory=list)  # those that it carried out
    correlations: list[str | None] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)  # of the files that were read
    numbers: Iterator[int] = field(default_factory=itertools.count)  # of its messages

    def will(self, text: str, *behaviours: Any) -> None:
        self.script[text].extend(behaviours)

    def texts(self) -> list[str]:
        """What the contact got, in order."""
        return [str(call.params.get("text")) for call in self.made if call.parts]

    def methods(self) -> list[str]:
        return [call.method for call in self.made]


def failure(code: ErrorCode, **facts: Any) -> Failure:
    return Failure(code, **facts)


class PlainChannel:
    """The required port. Webhook: `x-secret` proves it, the body is a JSON list of items (see `_outcomes`)."""

    def __init__(self, provider: Provider | None = None, **changes: Any) -> None:
        self.capabilities = capabilities(**changes)
        self.provider = provider or Provider()
        self.running = False

    # --- inbound

    def authenticate(self, request: WebhookRequest, accounts: Accounts) -> None:
        if request.route == "nowhere":
            raise UnknownRoute
        if request.headers.get("x-secret") != SECRET:
            raise Forbidden

    def unbatch(self, request: WebhookRequest) -> Sequence[RawItem]:
        items = orjson.loads(request.body)
        if not isinstance(items, list):
            raise ValueError("not a list of items")
        return [raw_item(item) for item in items]

    def normalise(self, item: ReceivedItem) -> Sequence[Outcome]:
        read = orjson.loads(item.body)
        if not isinstance(read, dict):
            raise ValueError("not an item")
        return [outcome for one in read.get("all", [read]) for outcome in _outcomes(item, one)]

    # --- outbound

    def plan(self, kind: CommandType, command: Command, context: PlanContext) -> Sequence[Call]:
        """A text is split at `|`; every file is a call of its own, or all are one album where the text says so."""
        if not isinstance(command, MessageSend):
            if isinstance(command, ContactBlock) and context.address.get("unblockable"):
                raise Refused(ErrorCode.UNSUPPORTED_BY_CHANNEL)
            return [Call(str(kind), {"text": str(kind), "target": _target(context)}, parts=0)]
        content = command.content
        if content.text.startswith("refuse:"):
            raise Refused(ErrorCode(content.text[len("refuse:") :]), "as the text says", field="content.text")
        if isinstance(content, OutTemplate):
            return [Call("template", {"text": content.name})]
        if context.files:
            return _media(content.text, context)
        texts = content.text.split("|")
        warnings = (Warning(code=WarningCode.TEXT_SPLIT, detail="split"),) if len(texts) > 1 else ()
        reply = {"reply": context.target.provider_message_id} if context.target else {}
        return [
            Call("text", {"text": text, **(reply if not at else {})}, warnings=warnings if not at else ())
            for at, text in enumerate(texts)
        ]

    async def perform(self, call: Call, account: Account, files: Files, correlation: str | None = None) -> Receipt:
        provider = self.provider
        provider.asked.append(call)
        provider.correlations.append(correlation)
        for file in call.files.values():
            opened = await files.open(file)
            provider.bodies.append(b"".join([chunk async for chunk in opened.chunks]))
        script = provider.script.get(str(call.params.get("text")))
        behaviour = script.popleft() if script else None
        if isinstance(behaviour, tuple):
            provider.made.append(call)
            behaviour = behaviour[1]
        if isinstance(behaviour, Failure):
            raise ProviderError(behaviour)
        if isinstance(behaviour, BaseException):
            raise behaviour
        if isinstance(behaviour, asyncio.Event):
            await behaviour.wait()
        provider.made.append(call)
        if isinstance(behaviour, Receipt):
            return behaviour
        return Receipt(tuple(f"out-{next(provider.numbers)}" for _ in range(call.parts)))

    async def start(self) -> None:
        self.running = True

    async def stop(self) -> None:
        self.running = False


class AdjustingChannel(PlainChannel):
    """Knows another way: `x` refused becomes `x~`."""

    def adjust(self, call: Call, refused: Failure) -> Call | None:
        if refused.code is not ErrorCode.CONTENT_REJECTED:
            return None
        warning = Warning(code=WarningCode.CONVERTED, detail="another way")
        return Call(call.method, {**call.params, "text": f"{call.params['text']}~"}, warnings=(warning,))


class ReconcilingChannel(PlainChannel):
    """Can be asked what became of a call: `found` is the answer, or is raised."""

    found: Receipt | Exception | None = None

    async def find_sent(self, call: Call, account: Account, since: datetime) -> Receipt | None:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


class MediaChannel(PlainChannel):
    """Opens inbound files: `media` maps a file's reference to its chunks; an exception among them is raised."""

    def __init__(self, *arguments: Any, **changes: Any) -> None:
        super().__init__(*arguments, **changes)
        self.media: dict[str, list[bytes | Exception]] = {}
        self.opened: list[str] = []
        self.closed: list[str] = []

    async def open_media(self, attachment: Attachment, message: Message | MessageEdited, account: Account) -> OpenFile:
        reference = attachment.provider_ref or ""
        self.opened.append(reference)
        chunks = self.media[reference]
        if chunks and isinstance(chunks[0], ProviderError):
            raise chunks[0]

        async def close() -> None:
            self.closed.append(reference)

        return OpenFile(f"{reference}.bin", "application/octet-stream", 0, _chunks(chunks), close)


class PullingChannel(PlainChannel):
    """Is pulled: `waiting` has the batches per account, an exception among them is raised."""

    def __init__(self, *arguments: Any, **changes: Any) -> None:
        super().__init__(*arguments, **changes)
        self.waiting: dict[str, asyncio.Queue[Batch | Exception]] = defaultdict(asyncio.Queue)
        self.cursors: list[tuple[str, str | None]] = []
        self.pullers: dict[str, int] = defaultdict(int)
        self.most_pullers = 0

    async def updates(self, account: Account, cursor: str | None) -> AsyncIterator[Batch]:
        self.cursors.append((account.account_id, cursor))
        self.pullers[account.account_id] += 1
        self.most_pullers = max(self.most_pullers, self.pullers[account.account_id])
        try:
            while True:
                found = await self.waiting[account.account_id].get()
                if isinstance(found, Exception):
                    raise found
                yield found
        finally:
            self.pullers[account.account_id] -= 1


class ProbingChannel(PlainChannel):
    """Can be probed: `health` per account is the answer, or is raised."""

    def __init__(self, *arguments: Any, **changes: Any) -> None:
        super().__init__(*arguments, **changes)
        self.health: dict[str, HealthChange | Exception] = {}
        self.probed: list[str] = []

    async def probe(self, account: Account) -> HealthChange:
        self.probed.append(account.account_id)
        answer = self.health.get(account.account_id, HealthChange(Health.CONNECTED))
        if isinstance(answer, Exception):
            raise answer
        return answer


class VaryingChannel(PlainChannel):
    """Can do for an account what its settings say under `able`."""

    def capabilities_of(self, account: AccountRecord) -> Capabilities:
        return self.capabilities.model_copy(update=account.settings.get("able", {}))


class InitiatingChannel(PlainChannel):
    """A business may write first: the peer is made of the phone number."""

    def __init__(self, *arguments: Any, **changes: Any) -> None:
        super().__init__(*arguments, **({"initiates": "always"} | changes))

    def peer_of(self, to: Sequence[Alias]) -> tuple[str, dict[str, str]]:
        for alias in to:
            if alias.kind is AliasKind.PHONE:
                return ids.personal_peer(alias.value), {"phone": alias.value}
        raise Refused(ErrorCode.RECIPIENT_UNKNOWN, field="to")


class ChallengedChannel(PlainChannel):
    """Its provider checks the webhook by GET."""

    def challenge(self, request: WebhookRequest, accounts: Accounts) -> str:
        if request.query.get("verify") != SECRET:
            raise Forbidden
        return request.query.get("challenge", "")


# ------------------------------------------------------------------------------------------------------ reading


def item(kind: str = "message", peer: str = "p1", account: str = "acc_1", **facts: Any) -> dict[str, Any]:
    """An item of a webhook body."""
    return {"kind": kind, "peer": peer, "account": account, **facts}


def raw_item(read: Any) -> RawItem:
    """The item as ingress keeps it."""
    known = read if isinstance(read, dict) else {}
    account, external = known.get("account"), known.get("external")
    return RawItem(
        key=f"{account or external}:{known.get('peer', 'p1')}",
        body=orjson.dumps(read),
        account_id=account,
        external_id=external,
    )


def at(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _outcomes(received: ReceivedItem, read: dict[str, Any]) -> Sequence[Outcome]:
    when = datetime.fromtimestamp(read.get("at", at(received.received_at)) / 1000, UTC)
    match read["kind"]:
        case "status":
            refused = Failure(ErrorCode(read["code"]), trace_id=read.get("trace")) if "code" in read else None
            until = datetime.fromtimestamp(read["until"] / 1000, UTC) if "until" in read else None
            update = StatusUpdate(
                read.get("id"), State(read["state"]), when, read.get("peer"), tuple(read.get("aliases", ()))
            )
            return [
                StatusUpdate(
                    update.provider_message_id,
                    update.state,
                    update.occurred_at,
                    update.peer,
                    update.peer_aliases,
                    correlation=read.get("correlation"),
                    until=until,
                    failure=refused,
                    warnings=tuple(Warning(code=code, detail="not there") for code in read.get("warnings", ())),
                )
            ]
        case "health":
            return [HealthChange(Health(read["health"]))]
        case "rate":
            return [HealthChange(None, rate=Rate(per_second=read["rate"], burst=read["rate"]))]
        case "bug":
            raise RuntimeError("a bug in the mapper")
    return [_event(received, read, when)]


def _event(received: ReceivedItem, read: dict[str, Any], when: datetime) -> Event:
    account, kind, peer = received.account, read["kind"], read["peer"]
    name = read.get("id", f"{kind}-{at(when)}")
    conversation = ids.conversation_id(CHANNEL, account.account_id, peer)
    common: dict[str, Any] = {
        "channel": CHANNEL,
        "workspace_id": account.workspace_id,
        "account_id": account.account_id,
        "conversation_id": conversation,
        "occurred_at": when,
        "received_at": received.received_at,
        "sequence": received.sequence,
        "backfill": read.get("backfill", False),
    }
    message_id = ids.message_id(CHANNEL, account.account_id, f"{peer}:{read.get('target', name)}")
    fact = ProviderFact(message_id=name, type=kind)
    ways: dict[str, Any] = {
        "peer_aliases": tuple(read.get("names", ())),
        "supersedes_peer": read.get("supersedes"),
        "address": read.get("address", {}),
    }
    person = Contact(display_name=read.get("name"), aliases=tuple(Alias(**alias) for alias in read.get("aliases", ())))
    match kind:
        case "message" | "postback" | "echo":
            return _message(read, common, name, message_id, fact, person, ways)
        case "edited":
            edit = MessageEdited(
                **common, message_id=message_id, content=_content(read, common, message_id), provider=fact
            )
            return Event(EventType.MESSAGE_EDITED, edit, name, **ways)
        case "deleted":
            return Event(
                EventType.MESSAGE_DELETED, MessageDeleted(**common, message_id=message_id, provider=fact), name, **ways
            )
        case "reaction":
            data = ReactionChanged(
                **common, message_id=message_id, action="added", emoji="👍", sender=person, provider=fact
            )
            return Event(EventType.REACTION_CHANGED, data, name, **ways)
        case "referred":
            referral = Referral(source="ad", id=read.get("ad", "ad-1"))
            return Event(EventType.CONVERSATION_REFERRED, ConversationReferred(**common, referral=referral), name)
        case "blocked" | "unblocked":
            blocked = EventType.CONTACT_BLOCKED if kind == "blocked" else EventType.CONTACT_UNBLOCKED
            return Event(blocked, ContactReachability(**common, by="contact"), name, **ways)
        case "consent":
            change = ConsentChanged(**common, consent=read["consent"], contact=person)
            return Event(EventType.CONTACT_CONSENT_CHANGED, change, name)
        case "notice":
            common["conversation_id"] = f"{CHANNEL}:{account.account_id}"
            return Event(EventType.ACCOUNT_NOTICE, AccountNotice(**common, notice="quality", text="Low."), name)
    raise ValueError("a kind that this channel never had")


def _message(
    read: dict[str, Any],
    common: dict[str, Any],
    name: str,
    message_id: str,
    fact: ProviderFact,
    person: Contact,
    ways: dict[str, Any],
) -> Event:
    kind, peer = read["kind"], read["peer"]
    reply = None
    if "reply_to" in read:
        target = ids.message_id(CHANNEL, common["account_id"], read["reply_to"])
        reply = ReplyTo(message_id=target, provider_message_id=read["reply_to"])
    outbound = kind == "echo"
    data = Message(
        **common,
        message_id=message_id,
        direction="outbound" if outbound else "inbound",
        origin=Origin.NATIVE_APP if outbound else Origin.CONTACT,
        sender=person,
        content=_content(read, common, message_id),
        reply_to=reply,
        automatic=read.get("automatic"),
        provider=fact,
    )
    types = {
        "message": EventType.MESSAGE_RECEIVED,
        "postback": EventType.POSTBACK_RECEIVED,
        "echo": EventType.MESSAGE_ECHOED,
    }
    answer = Call("answer", {"text": "answer"}, parts=0) if read.get("answer") else None
    return Event(
        types[kind],
        data,
        name,
        opens_window=not outbound,
        provider_ref=f"{peer}:{name}",
        answer=answer,
        **ways,
    )


def _content(read: dict[str, Any], common: dict[str, Any], message_id: str) -> Any:
    if "files" in read:
        return MediaContent(text=read.get("text", ""), attachments=_attachments(read, common, message_id))
    return TextContent(text=read.get("text", "hello"))


def _attachments(read: dict[str, Any], common: dict[str, Any], message_id: str) -> tuple[Attachment, ...]:
    made = []
    for index, reference in enumerate(read["files"]):
        name = ids.attachment_id(message_id, index)
        made.append(
            Attachment(
                attachment_id=name,
                kind=AttachmentKind.IMAGE,
                claimed_mime_type="image/jpeg",
                blob=ids.blob_key(common["workspace_id"], common["account_id"], name),
                provider_ref=reference,
            )
        )
    return tuple(made)


def _media(text: str, context: PlanContext) -> Sequence[Call]:
    if text == "album":
        files = {f"file_{at}": file for at, file in enumerate(context.files)}
        return [Call("album", {"text": text}, files, parts=len(files))]
    return [
        Call("file", {"text": f"{text}{at or ''}", "size": file.size, "mime": file.mime_type}, {"file": file})
        for at, file in enumerate(context.files)
    ]


def _target(context: PlanContext) -> str | None:
    return context.target.provider_message_id if context.target else context.last_inbound


async def _chunks(chunks: Sequence[bytes | Exception]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        if isinstance(chunk, Exception):
            raise chunk
        yield chunk
