"""Who has a mailbox, and what lies in it."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple

from pydantic import Field

from sandbox.simulators.common import Behaviour, Clock, ControlError, Fault, Faults
from sandbox.simulators.feed import Feed

from .mails import Mail

MAX_PEOPLE = 1_000
KEPT_BYTES = 256 * 1024 * 1024  # of all mails, then the oldest go
KEPT_ROWS = 10_000
KEPT_CHANGES = 1_000
DOMAIN = "people.example"  # of people who were given a name only
Row = dict[str, Any]


class Options(Behaviour):
    """How the server behaves. `deliver_to` is where people's mail goes: `host:port` of an SMTP server, or an address
    that takes raw mail by HTTP, to which an account's `route` is added."""

    deliver_to: str = ""
    max_size: int = Field(default=35_000_000, ge=1000)  # octets of a mail
    login: bool = True  # who hands mail in has to log in
    dsn: bool = True  # reports are offered (RFC 3461)
    retry_seconds: float = Field(default=1.0, gt=0)


class Call(NamedTuple):
    """One command of SMTP, with its reply."""

    at: float
    call: str
    arguments: Row
    status: int


class Violation(NamedTuple):
    call: str
    problem: str


@dataclass(slots=True)
class Account:
    """A mailbox that hands in mail here. No password: it may not log in any more.

    `route` and `secret` are for mail to it that goes by HTTP.
    """

    address: str
    password: str | None
    name: str = ""
    route: str = ""
    secret: str = ""


@dataclass(slots=True)
class Correspondent:
    """Somebody with an address, and all that was said with them."""

    address: str
    name: str
    mails: list[Mail] = field(default_factory=list)


class World:
    """Everything there is. People's ids are their addresses."""

    def __init__(self, options: Options, clock: Clock) -> None:
        self.options = options
        self.clock = clock
        self.faults = Faults(Fault)
        self.feed = Feed(clock, KEPT_CHANGES)
        self.accounts: dict[str, Account] = {}
        self.people: dict[str, Correspondent] = {}
        self.calls: deque[Call] = deque(maxlen=KEPT_ROWS)
        self.violations: deque[Violation] = deque(maxlen=KEPT_ROWS)
        self.totals: Counter[str] = Counter()
        self._ids = count(1)
        self._kept: OrderedDict[str, Mail] = OrderedDict()
        self._bytes = 0

    def account(self, address: str | None = None) -> Account:
        """An account, or the first one. Raises LookupError."""
        if address is None:
            if not self.accounts:
                raise LookupError("there is no account")
            return next(iter(self.accounts.values()))
        if address.lower() not in self.accounts:
            raise LookupError("there is no such account")
        return self.accounts[address.lower()]

    def person(self, address: str) -> Correspondent:
        """Raises LookupError."""
        if address.lower() not in self.people:
            raise LookupError("there is nobody with this address")
        return self.people[address.lower()]

    def add_person(self, name: str, address: str = "") -> Correspondent:
        plain = "".join(letter for letter in name.lower() if letter.isascii() and letter.isalnum()) or "somebody"
        address = (address or f"{plain}@{DOMAIN}").lower()
        if address in self.people or len(self.people) >= MAX_PEOPLE:
            raise ControlError(409, "this address is taken, or there are too many people")
        self.people[address] = Correspondent(address, name)
        return self.people[address]

    def next_id(self) -> str:
        return f"mail{next(self._ids)}"

    def keep(self, person: Correspondent, mail: Mail) -> None:
        """Put a mail into somebody's mailbox, and say so."""
        person.mails.append(mail)
        self._kept[f"{person.address} {mail.id}"] = mail
        self._bytes += mail.size
        while self._bytes > KEPT_BYTES and len(self._kept) > 1:
            _, gone = self._kept.popitem(last=False)
            self._bytes -= gone.size
            for other in self.people.values():
                other.mails = [one for one in other.mails if one is not gone]
        self.totals["received" if mail.outgoing else "written"] += 1
        self.feed.publish("mail", {"person": person.address, "id": mail.id})

    def mail(self, mail_id: str) -> Mail:
        """Raises LookupError."""
        for mail in self._kept.values():
            if mail.id == mail_id:
                return mail
        raise LookupError("there is no such mail")

    def called(self, call: str, arguments: Row, status: int) -> None:
        self.calls.append(Call(self.clock.now(), call, arguments, status))
        self.totals[call] += 1

    def violated(self, call: str, problem: str) -> None:
        self.violations.append(Violation(call, problem))

    # ------------------------------------------------------------- what the operations of all simulators are made of

    @property
    def behaviour(self) -> Options:
        return self.options

    def shown_state(self) -> Row:
        return {
            "accounts": [{"id": one.address, "name": one.name} for one in self.accounts.values()],
            "people": len(self.people),
            "behaviour": self.options.model_dump(),
            "totals": dict(self.totals),
            "faults": self.faults.active,
        }

    def forget(self) -> None:
        """Calls, violations and what was sent; what people wrote themselves stays."""
        self.calls.clear()
        self.violations.clear()
        self.totals.clear()
        for person in self.people.values():
            person.mails = [mail for mail in person.mails if not mail.outgoing]
