"""Email's part of `/_sim/`: accounts that hand in mail, and people who read and write it.

Keys of a fault's `where`: `call` (`MAIL`, `RCPT`, `DATA`: after the final dot), `account` and `to` (addresses). The
`status` of an `error` is a reply code of SMTP, its `description` the reply's text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from aiohttp import web
from pydantic import InstanceOf

from sandbox.simulators.common import Behaviour, Clock, ControlError, Faults, said
from sandbox.simulators.control import SHOWN, Control
from sandbox.simulators.feed import Feed

from .delivery import Delivery
from .mails import Mail, written
from .people import People
from .upload import Upload, Uploads
from .world import Account, Correspondent, World

Row = dict[str, Any]
_SENT = ("id", "at", "text", "subject", "html", "message_id", "reply_to", "automatic", "files")


def build(world: World, delivery: Delivery, people: People) -> Control:
    """The control interface of one simulator."""
    owner, reader = _Owner(world, delivery), _Reader(world, people)
    own: dict[str, Callable[..., Any]] = {
        "GET accounts": owner.accounts,
        "POST accounts": owner.add_account,
        "POST accounts/{account}/revoke": owner.revoke,
        "POST accounts/{account}/write": owner.write,
        "POST webhooks": owner.deliver_to,
        "GET webhooks": owner.deliveries,
        "POST webhooks/raw": reader.raw,
        "GET people": reader.people,
        "POST people": reader.add,
        "GET conversation": reader.conversation,
        "GET files/{file}": reader.file,
        "GET mails/{mail}": reader.mail,
        "POST people/{person}/write": reader.write,
    }
    return Control(_Shown(world), own, Uploads())


class _Shown:
    """The world, as the operations that all simulators have see it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.clock: Clock = world.clock
        self.faults: Faults[Any] = world.faults
        self.behaviour: Behaviour = world.options
        self.forget = world.forget

    @property
    def feed(self) -> Feed:
        return self._world.feed

    def state(self) -> Row:
        return {"now": self.clock.now(), **self._world.shown_state()}

    def person(self, person: str) -> str:
        return self._world.person(person).address

    def sent(self) -> Iterator[Row]:
        for person in self._world.people.values():
            for mail in person.mails:
                if mail.outgoing:
                    row = mail.row()
                    shown = {name: row[name] for name in _SENT}
                    whose = {"kind": "email", "account": mail.account, "person": person.address}
                    yield {**shown, **whose, "envelope": mail.envelope}

    def calls(self) -> Iterator[Row]:
        return (call._asdict() for call in self._world.calls)

    def violations(self) -> Iterator[Row]:
        return (violation._asdict() for violation in self._world.violations)


class _Owner:
    """What belongs to those who run the accounts."""

    def __init__(self, world: World, delivery: Delivery) -> None:
        self._world = world
        self._delivery = delivery

    def accounts(self) -> list[Row]:
        """Who may hand in mail."""
        return [{"id": one.address, "name": one.name} for one in self._world.accounts.values()]

    def add_account(self, address: str, password: str, name: str = "", route: str = "", secret: str = "") -> Row:
        """A mailbox that may log in with a password; with an address that is known, the password is a new one.

        `route` and `secret` are for mail to it that goes by HTTP: what is added to the address, and the bearer token.
        """
        self._world.accounts[address.lower()] = Account(address.lower(), password, name, route, secret)
        return {"id": address.lower(), "name": name}

    def revoke(self, account: str) -> None:
        """The account's password is no longer taken."""
        self._world.account(account).password = None

    def write(self, account: str, person: str, text: str, subject: str = "") -> Row:
        """The owner writes to somebody by hand, in a mail program of their own."""
        world, owner, reader = self._world, self._world.account(account), self._world.person(person)
        now = world.clock.now()
        raw = written((owner.name, owner.address), reader.address, text, now, subject=subject)
        mail = Mail(world.next_id(), owner.address, reader.address, True, now, raw)
        world.called("DATA", {"size": mail.size, "to": [reader.address]}, 250)  # as that program hands it in
        world.keep(reader, mail)
        return {"id": mail.id, "message_id": mail.row()["message_id"]}

    def deliver_to(self, url: str) -> None:
        """Where people's mail goes from now on: `host:port` of an SMTP server, or an address that takes it by HTTP."""
        self._world.options.change(deliver_to=url)

    def deliveries(self) -> Row:
        """Totals, and the newest attempts to deliver people's mail."""
        return {
            "url": self._world.options.deliver_to,
            "totals": dict(self._delivery.totals),
            "redelivering": self._delivery.waiting,
            "attempts": [attempt._asdict() for attempt in self._delivery.attempts],
        }


class _Reader:
    """What somebody does in their mail program. `account` is an address; without it the first account."""

    def __init__(self, world: World, people: People) -> None:
        self._world = world
        self._people = people

    def people(self) -> list[Row]:
        """Everybody with an address."""
        return [self._row(one) for one in self._world.people.values()]

    @staticmethod
    def _row(one: Correspondent) -> Row:
        return {"id": one.address, "name": one.name, "address": one.address}

    def add(self, name: str, address: str = "") -> Row:
        """Somebody new; without an address one is made of the name."""
        return self._row(self._world.add_person(name, address))

    def conversation(self, person: str, limit: int = SHOWN) -> Row:
        """What somebody wrote and got, oldest first."""
        found = self._world.person(person)
        return {"person": found.address, "messages": [mail.row() for mail in found.mails[-limit:]]}

    def write(
        self,
        person: str,
        text: str = "",
        subject: str = "",
        html: str | None = None,
        reply_to: str | None = None,
        account: str | None = None,
        file: InstanceOf[Upload] | None = None,
    ) -> Row:
        """Write to an account; `reply_to` is the id of a mail that is answered, and quoted."""
        said(text, file)
        return self._people.writes(person, account, text, subject, html=html, reply_to=reply_to, file=file)

    def raw(self, body: str, person: str, account: str | None = None) -> Row:
        """Send any bytes as a mail of somebody's: Latin-1 is what goes over the wire."""
        try:
            content = body.encode("latin-1")
        except UnicodeEncodeError:
            raise ControlError(400, "body stands for bytes: no character beyond U+00FF") from None
        return self._people.sends(person, account, content)

    def mail(self, mail: str) -> web.Response:
        """A mail as it went over the wire."""
        return web.Response(body=self._world.mail(mail).raw, content_type="message/rfc822")

    def file(self, file: str) -> web.Response:
        """A file of a mail."""
        mail_id, _, index = file.partition(":")
        files = self._world.mail(mail_id).files()
        if not index.isdecimal() or int(index) >= len(files):
            raise LookupError("there is no such file")
        part = files[int(index)]
        content = part.get_payload(decode=True)
        return web.Response(body=content if isinstance(content, bytes) else b"", content_type=part.get_content_type())
