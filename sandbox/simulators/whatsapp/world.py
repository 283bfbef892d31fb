"""The registry of everything simulated, with lookups by every id and bounded memory."""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Iterator

from sandbox.simulators.whatsapp.errors import unknown_object
from sandbox.simulators.whatsapp.model import (
    Account,
    App,
    Conversation,
    Customer,
    Group,
    Number,
    Received,
    Sent,
    digits_of,
)

PeerRef = str | Customer | Group


class World:
    """Apps, accounts, numbers, tokens, customers, groups, conversations, and the messages of both directions.

    `keep` bounds messages (both directions) and customers that were created only because somebody wrote to them;
    the oldest go first.
    """

    def __init__(self, *, keep: int = 200_000) -> None:
        self.apps: dict[str, App] = {}
        self.accounts: dict[str, Account] = {}
        self.numbers: dict[str, Number] = {}
        self.tokens: dict[str, frozenset[str] | None] = {}  # token -> WABA ids it may use; None: all
        self.customers: dict[str, Customer] = {}
        self.groups: dict[str, Group] = {}
        self.sent_total = 0
        self.received_total = 0
        self._keep = keep
        self._by_address: dict[str, Customer] = {}
        self._conversations: dict[tuple[str, str], Conversation] = {}
        self._messages: dict[str, Sent | Received] = {}
        self._age: deque[Sent | Received] = deque()
        self._strangers: deque[Customer] = deque()
        self._keys = itertools.count(1)

    def number(self, phone_number_id: str | None = None) -> Number:
        """By id; the first one when no id is given. Raises GraphError 100/33 for an unknown id."""
        if phone_number_id is None:
            return next(iter(self.numbers.values()))
        try:
            return self.numbers[phone_number_id]
        except KeyError:
            raise unknown_object(phone_number_id) from None

    def add_customer(self, customer: Customer) -> Customer:
        """Register, or raise ValueError when one of the addresses belongs to somebody else."""
        customer.key = customer.key or f"c{next(self._keys)}"
        taken = [a for a in self._addresses(customer) if self._by_address.get(a, customer) is not customer]
        if taken or self.customers.get(customer.key, customer) is not customer:
            raise ValueError("a customer with this address exists")
        self.customers[customer.key] = customer
        self._by_address.update(dict.fromkeys(self._addresses(customer), customer))
        return customer

    def readdress(self, customer: Customer, *, phone: str | None = None, user_id: str | None = None) -> None:
        """Give the customer a new phone and/or BSUID; the old one stops working."""
        for address in self._addresses(customer):
            self._by_address.pop(address, None)
        customer.phone = digits_of(phone) if phone else customer.phone
        customer.user_id = user_id or customer.user_id
        self._by_address.update(dict.fromkeys(self._addresses(customer), customer))

    def at_address(self, address: str) -> Customer | None:
        """By phone digits, alias or BSUID exactly as written."""
        return self._by_address.get(address)

    def find_customer(self, address: str) -> Customer | None:
        """By phone in any spelling, alias, BSUID, parent id or key."""
        return self._by_address.get(address) or self.customers.get(address) or self._by_address.get(digits_of(address))

    def stranger(self, phone: str | None, user_id: str | None) -> Customer:
        """A customer made up on the spot, for a world where everybody is on WhatsApp."""
        if len(self._strangers) >= self._keep:
            self._forget(self._strangers.popleft())
        customer = self.add_customer(Customer(key="", phone=phone, user_id=user_id))
        self._strangers.append(customer)
        return customer

    def peer(self, ref: PeerRef) -> Customer | Group:
        """Resolve what the Python and control APIs call a peer; raises LookupError."""
        if not isinstance(ref, str):
            return ref
        found = self.groups.get(ref) or self.find_customer(ref)
        if found is None:
            raise LookupError(f"no customer or group {ref}")
        return found

    def conversation(self, number: Number, peer: Customer | Group) -> Conversation:
        """The conversation of the pair, made on first use."""
        key = (number.phone_number_id, _key(peer))
        found = self._conversations.get(key)
        if found is None:
            found = self._conversations[key] = Conversation(number, peer)
        return found

    def conversations(self, peer: Customer | Group | None = None) -> Iterator[Conversation]:
        """All of them, or those of one peer over all numbers."""
        if peer is None:
            return iter(list(self._conversations.values()))
        keys = ((number_id, _key(peer)) for number_id in self.numbers)
        return iter([self._conversations[key] for key in keys if key in self._conversations])

    def message(self, message_id: str) -> Sent | Received | None:
        """A kept message by wamid."""
        return self._messages.get(message_id)

    def keep_sent(self, message: Sent) -> None:
        self.sent_total += 1
        message.conversation.sent.append(message)
        self._remember(message)

    def keep_received(self, message: Received) -> None:
        self.received_total += 1
        message.conversation.received.append(message)
        self._remember(message)

    def sent(self, ref: PeerRef | None = None) -> list[Sent]:
        """What customers got: accepted and not failed, oldest first; of one peer, or of all."""
        if ref is None:
            return [m for m in self._age if isinstance(m, Sent) and m.status != "failed" and not m.forgotten]
        peer = self.peer(ref)
        return [m for c in self.conversations(peer) for m in c.sent if m.status != "failed" and not m.forgotten]

    def forget_sent(self) -> None:
        """Leave out of `sent` what was sent so far; the chats keep it."""
        for message in self._age:
            if isinstance(message, Sent):
                message.forgotten = True

    def repeats(self) -> dict[str, int]:
        """`biz_opaque_callback_data` values that reached customers more than once, with how often."""
        seen = Counter(m.callback_data for m in self.sent() if m.callback_data is not None)
        return {data: times for data, times in seen.items() if times > 1}

    def _remember(self, message: Sent | Received) -> None:
        self._messages[message.id] = message
        self._age.append(message)
        if len(self._age) > self._keep:
            old = self._age.popleft()
            self._messages.pop(old.id, None)
            side = old.conversation.sent if isinstance(old, Sent) else old.conversation.received
            if side and side[0] is old:
                side.popleft()

    def _forget(self, customer: Customer) -> None:
        self.customers.pop(customer.key, None)
        for address in self._addresses(customer):
            self._by_address.pop(address, None)
        for number_id in self.numbers:
            self._conversations.pop((number_id, customer.key), None)

    @staticmethod
    def _addresses(customer: Customer) -> list[str]:
        phones = [digits_of(p) for p in (customer.phone, *customer.aliases) if p]
        return phones + [i for i in (customer.user_id, customer.parent_user_id) if i]


def _key(peer: Customer | Group) -> str:
    return peer.key if isinstance(peer, Customer) else peer.group_id
