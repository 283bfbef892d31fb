"""The port: what a channel must do, what it may be able to do, and what passes between it and the runtime.

A channel is one object per process. Its pure methods (`authenticate`, `unbatch`, `normalise`, `plan`) do no I/O
and keep no state; `perform` makes exactly one provider call. Optional abilities are protocols of their own: the
runtime asks `isinstance(channel, OpensMedia)` and nothing else. Typing, read marks and blocking need no protocol: they
are commands that `plan` turns into calls without parts, or refuses with `unsupported_by_channel`.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Protocol, runtime_checkable

from shared.contract.accounts import AccountRecord
from shared.contract.base import Alias, Contact
from shared.contract.capabilities import Capabilities, Rate
from shared.contract.commands import Command, CommandType, File
from shared.contract.content import Attachment
from shared.contract.errors import ErrorCode
from shared.contract.events import EventData, EventType, Health, Message, MessageEdited
from shared.contract.statuses import State, Warning
from shared.contract.templates import Template

# --------------------------------------------------------------------------------------------------- accounts


@dataclass(frozen=True, slots=True)
class Account:
    """An account and its credentials, opened. Credentials never leave the process: no repr, no log.

    Of a `trial` account the credentials are only tried: nothing of them is kept, and none is spent on newer ones.
    """

    record: AccountRecord
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    trial: bool = False

    @property
    def account_id(self) -> str:
        return self.record.account_id

    @property
    def workspace_id(self) -> str:
        return self.record.workspace_id


class Accounts(Protocol):
    """The accounts of this channel that the process knows right now. No I/O."""

    def get(self, account_id: str) -> Account | None: ...


# ---------------------------------------------------------------------------------------------------- inbound


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """A webhook call as it came: `route` is what follows `/webhooks/<channel>/` in the path, header names are
    lower case, `body` are the bytes before any decoding."""

    method: str
    route: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


class Forbidden(Exception):
    """The request does not prove that it comes from the provider. Answered 401."""


class UnknownRoute(Exception):
    """The request is for nothing we have. Answered 404."""


@dataclass(frozen=True, slots=True)
class RawItem:
    """One item of a webhook body: everything that is ordered together has one `key`.

    `account_id` is ours; `external_id` the provider's name for the account where the payload has only that.
    `key` is made of what the payload alone tells and holds no personal data. `app` is the app whose secret has proven
    the body, where the channel has several (`HasApps`).
    """

    key: str
    body: bytes
    account_id: str | None = None
    external_id: str | None = None
    app: str | None = None
    blob: str | None = None  # where the body is instead, if it was stored on its way in


# Meta sends at most 1,000 updates in a body, Telegram and TikTok one; a body of 4 MiB has room for so many.
MOST_ITEMS = 20_000
# Items repeat what they have in common: together they may be larger than their body, but not without a bound.
MOST_ITEM_BYTES = 32 * 1024 * 1024


def bounded(items: Iterable[RawItem]) -> list[RawItem]:
    """The items of a body, made one after the other. Raises ValueError as soon as they are too many or too large."""
    found: list[RawItem] = []
    size = 0
    for item in items:
        size += len(item.body)
        if len(found) == MOST_ITEMS or size > MOST_ITEM_BYTES:
            raise ValueError(f"more than {MOST_ITEMS} items, or than {MOST_ITEM_BYTES} bytes of them")
        found.append(item)
    return found


@dataclass(frozen=True, slots=True)
class ReceivedItem:
    """A raw item on its way into `normalise`: whose it is, when we got it, where it stands in the order."""

    account: AccountRecord
    body: bytes
    received_at: datetime
    sequence: int | None = None
    blob: str | None = None  # of `RawItem`


@dataclass(frozen=True, slots=True)
class InThread:
    """Where a message stands among the threads of its conversation.

    `keys` are opaque names of the thread and of messages in it, strongest first: the first that is known in the
    conversation says which thread it is, and all of them point there from then on. Where none is known a thread begins,
    and is named after the last of them. `note` (at most 2 KB) is what `plan` gets of the thread from then on
    (`PlanContext.thread`). A `topic` that differs from the thread's last one makes `Thread.subject_changed`.
    """

    keys: tuple[str, ...]
    note: Mapping[str, str] = field(default_factory=dict)
    topic: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One event out of `normalise`.

    `provider_id` makes `ce_id` (unique within account and type). `peer_aliases` are names under which the other
    side may already be known, strongest first; the runtime resolves them to one stable conversation.
    `address` is what the channel needs to write to this conversation again (kept in state, never published).
    `supersedes_peer` is the peer that this conversation had before (a migrated group, a rotated id).
    `of_message` are names that a message of ours may have, where no provider vouches for whom an event is about: it is
    of the conversation that the message went to, and is not told where all of them are unknown.
    """

    type: EventType
    data: EventData
    provider_id: str
    peer_aliases: tuple[str, ...] = ()
    address: Mapping[str, str] = field(default_factory=dict)
    supersedes_peer: str | None = None
    opens_window: bool = False
    provider_ref: str | None = None  # provider ref under which a reply to this message would name it
    answer: Call | None = None  # a call the provider expects soon (a callback query); best effort, once
    thread: InThread | None = None
    of_message: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class StatusUpdate:
    """A provider's report about a message of ours, out of `normalise`.

    `correlation` is what `perform` gave the provider to bring back (command id and part), where the provider can.
    One of a group's participants moves the message on and never ends it: what became of it with each is counted.
    `until` marks a watermark: the state holds for every message of the conversation sent at or before it.
    """

    provider_message_id: str | None
    state: State
    occurred_at: datetime
    peer: str | None = None
    peer_aliases: tuple[str, ...] = ()
    correlation: str | None = None
    until: datetime | None = None
    failure: Failure | None = None
    pricing: Mapping[str, Any] | None = None
    participant: str | None = None  # of a group: whom alone it concerns, by the provider's name for them
    bounce: Literal["hard", "soft"] | None = None
    candidates: tuple[str, ...] = ()  # other ids that the message may have, tried in this order after the first
    warnings: tuple[Warning, ...] = ()  # of a message that is out: told with the state it has by then


@dataclass(frozen=True, slots=True)
class HealthChange:
    """Something `normalise`, `perform` or `probe` learned about the account itself.

    `health` is None where nothing is said of it. `rate` is how fast the provider lets the account send from now on,
    where it has said so.
    """

    health: Health | None
    code: ErrorCode | None = None
    detail: str | None = None
    rate: Rate | None = None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An item, out of `normalise`, that is no matter of an inbox: it is counted by its kind, and nothing else.

    `kind` is one of the few that the channel knows by name, never what a payload says.
    """

    kind: str


@dataclass(frozen=True, slots=True)
class TemplateChange:
    """Out of `normalise`: a template of the account, in one of its languages, is not as it was. `name` is None where
    the provider does not say which."""

    name: str | None


Outcome = Event | StatusUpdate | HealthChange | LeftOut | TemplateChange


# --------------------------------------------------------------------------------------------------- outbound


@dataclass(frozen=True, slots=True)
class ReplyReference:
    """The resolved target of a reply, an edit, a reaction: `provider_message_id` as the provider names it."""

    provider_message_id: str
    quote: str | None = None


@dataclass(frozen=True, slots=True)
class PlanContext:
    """What `plan` may know beside the command. Everything is resolved: `plan` decides, it does not look up.

    `address` is what an earlier event of the conversation left (`Event.address`), or made from the command's `to`;
    `target` the message a reply, edit, delete or reaction points at; `last_inbound` the newest inbound message.
    `thread` is the note of the target's thread, else of the one that was written in last (`InThread`).
    `files` are the command's files after preparation, in order (same count as in the command).
    """

    account: AccountRecord
    address: Mapping[str, str] = field(default_factory=dict)
    target: ReplyReference | None = None
    last_inbound: str | None = None
    files: tuple[File, ...] = ()
    thread: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """One provider call, as data: what `perform` does and what the goldens show.

    `parts` is how many messages the provider makes of it (an album: several; a chat action: none). `files` maps a
    parameter to the file whose bytes go there. `warnings` say what differs from the command. `names` are ids of the
    message that we choose, not the provider: a report that comes before the answer, or days later, finds it by them.
    """

    method: str
    params: Mapping[str, Any]
    files: Mapping[str, File] = field(default_factory=dict)
    parts: int = 1
    warnings: tuple[Warning, ...] = ()
    names: tuple[str, ...] = ()
    thread: InThread | None = None


class Refused(Exception):
    """`plan` cannot carry the command out. Nothing has been sent."""

    def __init__(self, code: ErrorCode, detail: str | None = None, **facts: Any) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.facts = facts  # field, limit, actual …


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the provider answered: an id per message, and the state its answer means.

    `refs` are those ids made unique within the account, as `Event.provider_ref` has them; absent where the
    provider's own ids are unique already.
    """

    provider_message_ids: tuple[str, ...] = ()
    refs: tuple[str, ...] = ()
    state: State = State.SENT
    learned: tuple[Alias, ...] = ()  # names of the recipient the answer revealed
    learned_files: Mapping[str, str] = field(default_factory=dict)  # parameter → provider's reusable file id
    warnings: tuple[Warning, ...] = ()  # what only the answer could tell


@dataclass(frozen=True, slots=True)
class Failure:
    """An error of the provider, classified.

    `certain` is true when the message was surely not sent; false means nobody knows. `retry_after` in seconds.
    `scope` says whom a rate limit or a pause concerns: `pair`, `account` or `app`. `health` is what it means for
    the account, only for confirmed errors.
    """

    code: ErrorCode
    certain: bool = True
    provider_code: str | None = None
    detail: str | None = None
    retry_after: float | None = None
    scope: str = "pair"
    health: Health | None = None
    trace_id: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


class ProviderError(Exception):
    """`perform` did not succeed; `failure` says how."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.code)
        self.failure = failure


class Files(Protocol):
    """Opens the bytes of a file to send. Raises FileUnavailable."""

    async def open(self, file: File) -> OpenFile: ...


class FileUnavailable(Exception):
    """The bytes of a file cannot be had."""


async def _nothing_to_close() -> None:
    pass


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file ready to be read: streamed, never held whole. `size` in bytes.

    Who reads it calls `close` in the end, however far it came: that gives back what the bytes come from.
    """

    filename: str
    mime_type: str
    size: int
    chunks: AsyncIterator[bytes]
    close: Callable[[], Awaitable[None]] = _nothing_to_close


# ------------------------------------------------------------------------------------------------------- port


class Channel(Protocol):
    """What every channel does."""

    capabilities: Capabilities

    def authenticate(self, request: WebhookRequest, accounts: Accounts) -> None:
        """Called first for every webhook, on the event loop: no I/O, constant-time comparison.

        Raises Forbidden when the proof is missing or wrong, UnknownRoute when the route names nothing.
        """
        ...

    def unbatch(self, request: WebhookRequest) -> Sequence[RawItem]:
        """Split an authentic body into items, each with its conversation key. No I/O.

        Raises ValueError when the body cannot be read at all, or would become too much (`bounded`): it
        is then kept whole as a dead letter. `redrive` splits it again; of the request only `route` and `body` are kept
        for that. Called in a thread of its own for a large body.
        """
        ...

    def normalise(self, item: ReceivedItem) -> Sequence[Outcome]:
        """What one raw item means. Pure and total: an unknown kind becomes `unsupported`, nothing is dropped.

        Raises ValueError only for bytes that are no item of this channel at all (a dead letter).
        """
        ...

    def plan(self, kind: CommandType, command: Command, context: PlanContext) -> Sequence[Call]:
        """The provider calls that carry a command out, in order. Pure. Raises Refused.

        What the capabilities lack never gets here: types of commands, kinds of interactive messages, templates, places,
        contact cards. Nor does what concerns the connector alone: cancelling, sending again, the end of typing.
        """
        ...

    async def perform(self, call: Call, account: Account, files: Files, correlation: str | None = None) -> Receipt:
        """Make one provider call; no retries inside. Raises ProviderError.

        `correlation` (command id and part, ≤ 200 characters) goes to the provider where it can bring it back.
        """
        ...

    async def start(self) -> None:
        """Open connection pools. Called once before any `perform`."""
        ...

    async def stop(self) -> None:
        """Close what `start` opened, after the last `perform`."""
        ...


@runtime_checkable
class Adjusts(Protocol):
    """A channel that knows another way when a call was certainly refused."""

    def adjust(self, call: Call, failure: Failure) -> Call | Sequence[Call] | None:
        """The call to make instead (without the reply, as a document, to the migrated chat), or None. Pure.

        Several calls, in their order and with as many parts as the refused one together: an album one item of which
        goes another way. They are made as if `plan` had planned them; the failure alone must say how to split.
        """
        ...


@runtime_checkable
class TakesAddresses(Protocol):
    """A channel whose provider can fetch a file from where its URL leads."""

    def takes_address(self, file: File, account: AccountRecord) -> bool:
        """Whether a file that is named by its URL stays there: nobody here fetches it, and `plan` gets it as the
        command has it. Pure.
        """
        ...


@runtime_checkable
class VariesByAccount(Protocol):
    """A channel that can do more, or faster, for one account than for another."""

    def capabilities_of(self, account: AccountRecord) -> Capabilities:
        """What it can do for this account. Pure. Windows, receipts and typing are those of the channel."""
        ...


@runtime_checkable
class Initiates(Protocol):
    """A channel where a business may write first."""

    def peer_of(self, to: Sequence[Alias]) -> tuple[str, Mapping[str, str]]:
        """The peer and the address of a contact named by aliases only, as `normalise` would give them. Pure.

        Raises Refused (`recipient_unknown`) when none of them is an address of this channel.
        """
        ...


@runtime_checkable
class AnswersWebhook(Protocol):
    """A channel whose provider calls the webhook by GET to check that it is ours."""

    def challenge(self, request: WebhookRequest, accounts: Accounts) -> str:
        """The body to answer with. Raises Forbidden or UnknownRoute."""
        ...


@runtime_checkable
class Parses(Protocol):
    """A channel whose payloads are too hostile, or too costly, to be read where everything else runs.

    `parser` (`module:function`, bytes to bytes, pure and total) is what the service runs in worker processes, bounded
    in time and memory. `whole_files` are suffixes of files that are one payload whole, whatever stands in them.
    """

    parser: str
    whole_files: Sequence[str]

    def parse(self, raw: bytes) -> bytes:
        """What `normalise` gets as the body of the item instead of the payload: `parser`, called here. Pure and total.

        Only for the command line, and for payloads of our own.
        """
        ...

    def placeholder(self, reason: str, raw: bytes) -> bytes:
        """The same for a payload whose parser has died (`died`, `memory`), or was not done in time (`slow`).

        `raw` is its beginning, 64 KiB at the most. Pure, quick and total.
        """
        ...


class NotTaken(Exception):
    """What came in could not be made durable. Whoever sent it keeps it, and sends it again."""


class RawStore(Protocol):
    """Where payloads are kept as they came, each under a name that says nothing of it (`RawItem.blob`)."""

    async def store(self, chunks: AsyncIterator[bytes]) -> str:
        """Keep a payload while it comes, all of it or nothing; returns its name. Raises NotTaken, and what `chunks`
        raises."""
        ...

    def read(self, blob: str, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes of a payload from `start` up to `end`. Raises FileUnavailable at the first."""
        ...


@runtime_checkable
class KeepsRaw(Protocol):
    """A channel that needs its payloads again later: their files are parts of them. All are kept in the raw store."""

    def use_raw(self, store: RawStore) -> None:
        """Keep them there. Called once, before `start`."""
        ...


class Door(Protocol):
    """What a listener of a channel's own is lent. `accepting` is false while the service stops."""

    accepting: bool

    def follow(self, changed: Callable[[str, Account | None], None]) -> None:
        """Call it for every account that is served, at once and whenever one changes or goes (None)."""
        ...

    def owners(self, name: str) -> Sequence[str]:
        """Our ids of the accounts that a provider's name (`NamesAccounts`) is of, served or not: the first has it."""
        ...

    async def write(self, items: Sequence[RawItem]) -> None:
        """Return when the items are durable. Raises NotTaken."""
        ...


@runtime_checkable
class NamesAccounts(Protocol):
    """A channel whose names of accounts have several spellings, or whose accounts have further names of their own."""

    def spelled(self, name: str) -> str:
        """The one spelling of what a provider calls an account. Total."""
        ...

    def further_names(self, account: AccountRecord) -> Sequence[str]:
        """Names beside `external_id` that are the account's alone, spelled. Total."""
        ...


@runtime_checkable
class Listens(Protocol):
    """A channel that is spoken to in another protocol than HTTP, on a listener of its own."""

    async def listen(self, door: Door) -> None:
        """Begin to listen. Called once, after `start`, when the accounts are known. Raises OSError."""
        ...

    async def stop_listening(self) -> None:
        """Close the listener; what has been taken by then is answered. The first to stop."""
        ...


@runtime_checkable
class AuthenticatesByHead(Protocol):
    """A channel whose requests are proven by their heads alone: a body goes to the raw store while it comes.

    `authenticate` is not asked for webhooks then.
    """

    def admit(self, request: WebhookRequest, accounts: Accounts) -> int:
        """How many bytes the body may have. The request has none yet. No I/O, constant-time comparison.

        Raises Forbidden, UnknownRoute.
        """
        ...

    def received(self, request: WebhookRequest, blob: str) -> Sequence[RawItem]:
        """The items of a body that is stored; the request has its beginning, 64 KiB at the most. No I/O.

        Raises ValueError for a body that is none (answered 400).
        """
        ...


@runtime_checkable
class OpensMedia(Protocol):
    """A channel whose inbound files have to be fetched."""

    async def open_media(self, attachment: Attachment, message: Message | MessageEdited, account: Account) -> OpenFile:
        """Start the download of a published message's attachment; the runtime reads, limits, stores and closes it.

        Raises ProviderError.
        """
        ...


@dataclass(frozen=True, slots=True)
class Batch:
    """What one pull brought: `cursor` is to be kept once the items are in Kafka."""

    items: tuple[RawItem, ...]
    cursor: str


@runtime_checkable
class Pulls(Protocol):
    """A channel that can fetch what is new for accounts without a webhook."""

    def updates(self, account: Account, cursor: str | None) -> AsyncIterator[Batch]:
        """Endless; the next batch is asked for only after the last one is durable. Raises ProviderError."""
        ...


@runtime_checkable
class ReadsHistory(Protocol):
    """A channel whose provider shows what was said before."""

    def backfill(self, account: Account, since: datetime, peer: str | None = None) -> AsyncIterator[Batch]:
        """What it shows of the conversations that changed since then, or of the one with `peer`, oldest first.

        `normalise` marks what the items mean as `backfill`, and gives it the ids that a webhook would have given it.
        Raises ProviderError.
        """
        ...


@runtime_checkable
class KnowsContacts(Protocol):
    """A channel whose provider tells on request what its webhooks leave out of a contact: name, picture."""

    async def contact(self, account: Account, address: Mapping[str, str]) -> Contact | None:
        """The contact of a conversation, by what its events left as `Event.address`; None where nobody is told.

        Raises ProviderError.
        """
        ...


@dataclass(frozen=True, slots=True)
class Avatar:
    """The picture of a contact: `id` is another one when the picture is, `ref` what the channel opens it by."""

    id: str
    ref: str


@runtime_checkable
class ShowsAvatars(Protocol):
    """A channel whose provider shows pictures of contacts, under addresses that die or for whoever has the account."""

    async def avatar(self, account: Account, address: Mapping[str, str]) -> Avatar | None:
        """The picture that the contact of a conversation has now, by what its events left as `Event.address`.

        Raises ProviderError.
        """
        ...

    async def open_avatar(self, account: Account, avatar: Avatar) -> OpenFile:
        """Start its download; the runtime reads, limits, stores and closes it. Raises ProviderError."""
        ...


@runtime_checkable
class RegistersWebhook(Protocol):
    """A channel whose webhooks are registered by an API call per account."""

    async def register_webhook(self, account: Account, base_url: str) -> None:
        """Make the provider call `<base_url>/webhooks/<channel>/…`; idempotent. Raises ProviderError."""
        ...

    async def check_webhook(self, account: Account, base_url: str) -> str | None:
        """A sentence about what is wrong with the registration, or None. Raises ProviderError."""
        ...


@runtime_checkable
class NeedsSecrets(Protocol):
    """A channel whose webhooks are proven by secrets of its own settings, not of its accounts."""

    def missing_secrets(self) -> Sequence[str]:
        """The variables that are not set and without which webhooks are refused or cannot be registered. No I/O."""
        ...


@dataclass(frozen=True, slots=True)
class AccountNames:
    """What an account's record may hold on this channel: names of credentials and of settings. The runtime knows
    `rates` and `max_text_parts` by itself."""

    credentials: frozenset[str]
    settings: frozenset[str] = frozenset()


@runtime_checkable
class NamesAccountFields(Protocol):
    """A channel that says what its accounts may hold: what is none of it is refused in an accounts file."""

    account_names: AccountNames


@runtime_checkable
class JudgesSettings(Protocol):
    """A channel whose accounts have settings that may be wrong in themselves."""

    def wrong_settings(self, account: AccountRecord) -> Sequence[str]:
        """The names of those that cannot be used as they are. Pure."""
        ...


@dataclass(frozen=True, slots=True)
class Subscription:
    """A sentence about each right that credentials lack, and about each reason why webhooks do not come.

    `webhooks` is None where nobody knows.
    """

    rights: tuple[str, ...] = ()
    webhooks: tuple[str, ...] | None = None


@runtime_checkable
class ChecksSubscription(Protocol):
    """A channel whose provider tells what the credentials may do and whether webhooks are subscribed to."""

    async def check_subscription(self, account: Account, base_url: str | None) -> Subscription:
        """What is missing; `base_url` is where the provider should call, if known. Raises ProviderError."""
        ...


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom credentials belong to, by the provider's word."""

    external_id: str
    name: str | None = None


@runtime_checkable
class Identifies(Protocol):
    """A channel whose provider tells whom credentials belong to."""

    async def identify(self, account: Account) -> Identity:
        """Asked before anything else: the record may have no `external_id` yet, or another's. Raises ProviderError."""
        ...


@dataclass(frozen=True, slots=True)
class Consent:
    """What an owner's consent has brought: credentials as the account's record seals them, and whose they are."""

    external_id: str
    credentials: Mapping[str, str] = field(repr=False)


@runtime_checkable
class AsksConsent(Protocol):
    """A channel whose accounts are connected by their owner's consent in a browser (RFC 6749 §4.1)."""

    def consent_url(self, redirect_uri: str, state: str) -> str:
        """Where the owner is sent. Pure."""
        ...

    async def consented(self, code: str, redirect_uri: str) -> Consent:
        """Spend the code that the owner came back with. Raises ProviderError, also where too little was granted."""
        ...


@runtime_checkable
class RecognisesSecrets(Protocol):
    """A channel whose secrets can be told by their shape, wherever they turn up: no log shows them."""

    secrets: Sequence[re.Pattern[str]]


@runtime_checkable
class HasApps(Protocol):
    """A channel whose webhooks are proven by the secrets of several apps, each with accounts of its own."""

    def app_of(self, account: AccountRecord) -> str:
        """The app that may tell of the account: an item with another `RawItem.app` is refused. Pure."""
        ...


class TokenStore(Protocol):
    """Where rotating tokens are kept for all replicas. Values are secret; the runtime keeps them sealed.

    `exclusive` does not wait: it yields whether the account's lease is held. A lease ends by itself after a minute,
    so that a replica that died does not lock the account.
    """

    async def get(self, account_id: str) -> str | None: ...

    async def replace(self, account_id: str, expected: str | None, value: str) -> bool:
        """Set the value if it is still `expected`; returns whether it was."""
        ...

    def exclusive(self, account_id: str) -> AbstractAsyncContextManager[bool]: ...


@runtime_checkable
class KeepsTokens(Protocol):
    """A channel whose access tokens rotate."""

    def use_tokens(self, store: TokenStore) -> None:
        """Keep them there. Called once, before `start`."""
        ...


class UploadStore(Protocol):
    """Where the provider's ids of uploaded files are kept for all replicas, for 25 days at the most.

    `content` names the bytes and what they were sent as. Nothing is raised: what cannot be asked for is not known.
    """

    async def get(self, account: Account, content: str) -> str | None: ...

    async def keep(self, account: Account, content: str, ref: str) -> None: ...

    async def forget(self, account: Account, content: str) -> None: ...


@runtime_checkable
class KeepsUploads(Protocol):
    """A channel whose provider keeps what was uploaded, and takes its id instead of the bytes.

    The files of its calls come with the `sha256` of their bytes.
    """

    def use_uploads(self, store: UploadStore) -> None:
        """Keep the ids there. Called once, before `start`."""
        ...


class Priority(StrEnum):
    """What a call to the provider is for, the most urgent first."""

    SEND = "send"  # a message, or what it cannot go without: an upload, a fresh token
    ACTION = "action"  # typing, a read mark
    DOWNLOAD = "download"
    LOOKUP = "lookup"
    BACKFILL = "backfill"


class Pace(Protocol):
    """Draws a call from the rate that all accounts of the app share, in every replica."""

    async def __call__(self, priority: Priority, account: Account | None = None) -> None:
        """Return when the call may be made. `SEND` never waits: what is drawn too much makes later sends wait.

        The others wait until more is left than those above them need. Raises ProviderError (`rate_limited`) when
        that takes too long.
        """
        ...


@runtime_checkable
class PacesCalls(Protocol):
    """A channel with a limit on the calls of the whole app, whatever they are for.

    The runtime draws one call for every `perform` of a `Call` with parts; the channel draws for all others.
    """

    def use_pace(self, pace: Pace) -> None:
        """Ask it before every other call. Called once, before `start`; without it nothing waits."""
        ...


@runtime_checkable
class HasTemplates(Protocol):
    """A channel whose provider keeps message templates, which are written and approved elsewhere."""

    def templates(self, account: Account, name: str | None = None) -> AsyncIterator[Template]:
        """All of them, or those of one name, in every language and whatever their status.

        None where the account's record does not say whose templates they are. Raises ProviderError, perhaps after
        some: then nothing is known of the others.
        """
        ...


@runtime_checkable
class Probes(Protocol):
    """A channel that can ask the provider whether the credentials still work."""

    async def probe(self, account: Account) -> HealthChange:
        """The account's health as the provider sees it. Raises ProviderError when it cannot be told."""
        ...


@runtime_checkable
class ChecksSending(Protocol):
    """A channel with a call that takes the way of a message and reaches nobody."""

    async def check_sending(self, account: Account) -> None:
        """Make it: a message to a recipient who cannot exist. It shows whether an outage is over.

        Raises ProviderError, as `perform` would for a message: any certain refusal is an answer, too.
        """
        ...


@runtime_checkable
class RecognisesEchoes(Protocol):
    """A channel whose provider repeats our own messages without bringing our id back."""

    def echo_key(self, call: Call) -> str:
        """What the call and the echo of its message have in common: the echo's `StatusUpdate.correlation`. Pure."""
        ...


@runtime_checkable
class NamesMessages(Protocol):
    """A channel whose messages have names that it gives them itself."""

    def names_of(self, account: AccountRecord, command_id: str) -> Sequence[str]:
        """`Call.names` of the command's message, as `plan` gives them, for whoever has the command's id alone. Pure."""
        ...


@runtime_checkable
class Reconciles(Protocol):
    """A channel that can be asked what became of an uncertain part."""

    async def find_sent(self, call: Call, account: Account, since: datetime) -> Receipt | None:
        """The receipt of the call if the provider has the message; None when it surely has not.

        Raises ProviderError when it cannot be told.
        """
        ...
