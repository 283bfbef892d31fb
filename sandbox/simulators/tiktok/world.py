"""The people and threads of the simulated platform: accounts, customers, conversations and their messages."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field, fields
from typing import Any

from .ids import stable_id
from .options import Options

# The platform shows 20; the rest lets a tap, a quote or a reaction reach a little further back.
KEPT_MESSAGES = 50
KEPT_CONVERSATIONS = 100_000
KEPT_COMMENTS = 10_000

API, APP, WEB, OTHERS = "API", "APP", "WEB", "OTHERS"


@dataclass(slots=True)
class Account:
    """A business account. `business_id` is the `open_id` of its tokens and the `user_openid` of its webhooks."""

    business_id: str
    username: str
    display_name: str
    country: str = "SG"
    images: bool = True
    comment_to_message: bool = False
    is_business: bool = True
    # Own posts it may share.
    posts: set[str] = field(default_factory=lambda: {"7301234567890123456"})


@dataclass(slots=True)
class Customer:
    """A person. Writing from the EEA, Switzerland or the UK makes `european`, and the webhook empty of content."""

    user_id: str
    username: str
    display_name: str
    is_follower: bool = False
    european: bool = False
    images: bool = True


_TRAITS = frozenset({"display_name", "is_follower", "european", "images"})


@dataclass(slots=True)
class Message:
    """One message; `parts` holds its content in the shape a send takes, `timestamp` is unix milliseconds."""

    message_id: str
    timestamp: int
    inbound: bool
    kind: str
    parts: dict[str, Any]
    source: str
    references: str | None = None
    auto_message_type: str | None = None
    reactions: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class Conversation:
    """A thread between one account and one customer, with the messaging window's bookkeeping."""

    conversation_id: str
    account: Account
    customer: Customer
    messages: deque[Message] = field(default_factory=lambda: deque(maxlen=KEPT_MESSAGES))
    updated: int = 0
    last_inbound: int | None = None
    sent_since: int = 0
    # The business has answered at least once: STRANGER becomes SINGLE.
    answered: bool = False
    read_by_customer: int = 0
    read_by_business: int = 0
    typing_until: int = 0
    ads: list[dict[str, Any]] = field(default_factory=list)
    links: list[dict[str, Any]] = field(default_factory=list)

    @property
    def conversation_type(self) -> str:
        return "SINGLE" if self.answered else "STRANGER"

    @property
    def images(self) -> bool:
        """Both sides are in countries that support images."""
        return self.account.images and self.customer.images

    def add(self, message: Message, options: Options) -> None:
        """Append a message and move the window: an inbound opens it anew, anything of ours uses it up."""
        self.messages.append(message)
        self.updated = max(self.updated, message.timestamp)
        if message.inbound:
            if message.timestamp >= (self.last_inbound or 0):
                self.last_inbound = message.timestamp
                self.sent_since = 0
            return
        self.answered = True
        if message.auto_message_type is None or options.automatic_messages_count:
            self.sent_since += 1

    def remaining(self, now_ms: int, options: Options) -> int:
        """How many messages the business may still send; 0 when the window is closed or never opened."""
        if self.last_inbound is None or now_ms >= self.last_inbound + options.window * 1000:
            return 0
        return max(0, options.window_messages - self.sent_since)

    def find(self, message_id: str) -> Message | None:
        """A recent message by its id."""
        return next((m for m in reversed(self.messages) if m.message_id == message_id), None)


@dataclass(slots=True)
class Comment:
    """A comment the platform flagged as showing high intent, answerable once by a direct message."""

    comment_id: str
    account: Account
    customer: Customer
    posted: int
    answered: bool = False


class World:
    """All accounts and threads of one run; the oldest conversations are forgotten beyond 100,000."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.conversations: OrderedDict[str, Conversation] = OrderedDict()
        self.comments: OrderedDict[str, Comment] = OrderedDict()

    def add_account(self, account: Account) -> None:
        """Add an account, or change the one with its id; threads keep pointing to the same account."""
        known = self.accounts.setdefault(account.business_id, account)
        for each in fields(Account):
            setattr(known, each.name, getattr(account, each.name))

    def account(self, business_id: str) -> Account:
        """Raises `LookupError` for an account nobody added."""
        try:
            return self.accounts[business_id]
        except KeyError:
            raise LookupError("no such account") from None

    def conversation(self, conversation_id: str, business_id: str | None = None) -> Conversation:
        """A thread by its id. Raises `LookupError` when unknown or of another account than `business_id`."""
        found = self.conversations.get(conversation_id)
        if found is None or (business_id is not None and found.account.business_id != business_id):
            raise LookupError("no such conversation")
        return found

    def find_thread(self, business_id: str, username: str) -> Conversation:
        """The thread of a customer with an account. Raises `LookupError` where nothing was said yet."""
        return self.conversation(_thread_id(business_id, stable_id("user", username)))

    def thread(self, business_id: str, username: str, **traits: Any) -> Conversation:
        """The thread of a customer with an account, made on first use; `traits` are fields of `Customer`."""
        account = self.account(business_id)
        if unknown := traits.keys() - _TRAITS:
            raise ValueError(f"{min(unknown)} is not a trait of a customer")
        user_id = stable_id("user", username)
        conversation_id = _thread_id(business_id, user_id)
        conversation = self.conversations.get(conversation_id)
        if conversation is None:
            customer = Customer(user_id, username, traits.pop("display_name", username))
            conversation = Conversation(conversation_id, account, customer)
            self.conversations[conversation_id] = conversation
            if len(self.conversations) > KEPT_CONVERSATIONS:
                self.conversations.popitem(last=False)
        for name, value in traits.items():
            setattr(conversation.customer, name, value)
        return conversation

    def remember_comment(self, comment: Comment) -> None:
        """Keep a comment until 10,000 newer ones came."""
        self.comments[comment.comment_id] = comment
        if len(self.comments) > KEPT_COMMENTS:
            self.comments.popitem(last=False)


def _thread_id(business_id: str, user_id: str) -> str:
    return stable_id("conversation", business_id, user_id)
