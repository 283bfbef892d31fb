"""Email as tests play it: mail is handed in by SMTP, and comes as raw mail by HTTP."""

from __future__ import annotations

import email.policy
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any

import orjson

from sandbox.simulators.email import EmailSimulator
from sandbox.simulators.email.upload import Upload
from sandbox.simulators.email.world import Account
from shared.contract import ids
from tests.e2e.providers import Connected, Got, Person, Said

DOMAIN = "shops.example"
# What other providers say by HTTP, in the words of SMTP.
_REPLIES = {400: (550, "5.7.1 "), 429: (450, "4.7.1 "), 503: (421, "4.3.2 ")}
_TYPES = {"image": "image/png", "document": "application/pdf"}


class Email:
    name = "email"
    tells_names = True
    tells_several = False
    refusal: Mapping[str, Any] = {"status": 400}

    def __init__(self) -> None:
        self.sim = EmailSimulator()

    async def start(self) -> None:
        await self.sim.start()

    async def stop(self) -> None:
        await self.sim.stop()

    def environment(self) -> Mapping[str, str]:
        return {"EMAIL_TOKEN_KEY": "the tests' own"}

    async def webhooks_to(self, url: str) -> None:
        self.sim.options.change(deliver_to=f"{url}/webhooks/email")

    def open_account(self, number: int) -> tuple[dict[str, Any], dict[str, str], str]:
        address = f"shop{number}@{DOMAIN}"
        credentials = {"password": secrets.token_urlsafe(12), "ingress_secret": secrets.token_urlsafe(12)}
        self.sim.world.accounts[address] = Account(
            address, credentials["password"], f"Shop {number}", secret=credentials["ingress_secret"]
        )
        smtp = {"host": "127.0.0.1", "port": self.sim.smtp_port, "security": "none"}
        return {"external_id": address, "settings": {"smtp": smtp}}, credentials, address

    async def connect(self, account: Connected) -> None:
        """Raw mail goes to the account's own address."""
        self.sim.world.account(account.handle).route = account.id

    def newcomer(self, account: Connected, number: int) -> str:
        return self.sim.world.add_person(f"Person {number}", f"person{number}@people.example").address

    async def write(self, account: Connected, handle: str, text: str) -> str:
        return str(self.sim.people.writes(handle, account.handle, text)["message_id"])

    async def send_file(self, account: Connected, handle: str, kind: str, content: bytes, filename: str) -> None:
        file = Upload(filename, _TYPES.get(kind, "application/octet-stream"), content)
        self.sim.people.writes(handle, account.handle, "", file=file)

    def got(self, person: Person) -> list[Got]:
        mails = self.sim.world.person(person.handle).mails
        rows = [mail.row() for mail in mails if mail.outgoing and mail.account == person.account.handle]
        return [Got(row["message_id"], _kind(row), row["text"], row["reply_to"]) for row in rows]

    def shows_typing(self, person: Person) -> bool:
        return False

    def fail_sends(self, kind: str, **settings: Any) -> None:
        where = {"call": "DATA", **settings.pop("where", {})}
        if kind == "error":
            status, words = _REPLIES.get(settings.pop("status", 503), (550, "5.0.0 "))
            if settings.pop("html", False):  # a proxy's page instead of the provider: of a mail server, its farewell
                status, words = 421, "4.3.2 "
                settings.pop("retry_after", None)
            settings = {**settings, "status": status, "description": words + settings.pop("description", "no")}
        self.sim.world.faults.add(kind, where=where, **settings)

    def slow_transfers(self, kind: str, account: Connected) -> None:
        """Files come and go with their mails: what is slow is the mail."""
        if kind == "unread":
            self.sim.world.faults.add("hang", where={"call": "DATA", "account": account.handle})

    def behave(self) -> None:
        self.sim.world.faults.clear()

    def revoke(self, account: Connected) -> None:
        self.sim.world.account(account.handle).password = None

    def reauthorise(self, account: Connected) -> dict[str, str]:
        password = self.sim.world.account(account.handle).password = secrets.token_urlsafe(12)
        return {**account.credentials, "password": password}

    def bad_requests(self) -> list[Any]:
        return list(self.sim.world.violations)

    def forged(self) -> tuple[str, bytes, dict[str, str]]:
        return "", b"From: ida@people.example\r\n\r\nHello", {"Authorization": "Bearer wrong"}

    def genuine(self, account: Connected, body: bytes) -> tuple[str, dict[str, str]]:
        return f"/{account.id}", {"Authorization": f"Bearer {account.credentials['ingress_secret']}"}

    def wrote(self, account: Connected, *said: Said) -> bytes:
        """One mail: there is no more in a webhook."""
        (one,) = said
        person = (one.name or "", _address(one.person))
        shop = ("", account.handle if "@" in account.handle else f"{account.handle}@{DOMAIN}")
        sides = [shop, person] if one.echo else [person, shop]
        mail = EmailMessage(policy=email.policy.SMTP)
        mail["From"], mail["To"] = (Address(name, addr_spec=address) for name, address in sides)
        mail["Date"] = format_datetime(datetime.fromtimestamp(one.at, UTC))
        mail["Message-ID"] = f"<{self.message_id(one.id)}>"
        if one.reply_to is not None:
            mail["In-Reply-To"] = mail["References"] = f"<{self.message_id(one.reply_to)}>"
        mail["Subject"] = "A question"
        mail.set_content(one.text)
        if one.type != "text":
            mail.add_attachment(orjson.dumps(one.content), maintype="application", subtype=f"x-{one.type}")
        return bytes(mail)

    def peer(self, person: int) -> str:
        return ids.personal_peer(_address(person))

    def message_id(self, number: int) -> str:
        return f"m{number}@people.example"


def _address(person: int) -> str:
    return f"person{person}@people.example"


def _kind(row: dict[str, Any]) -> str:
    """The kind of message a mail comes nearest to."""
    images = [file for file in row["files"] if file["type"].startswith("image/")]
    return "image" if images else "document" if row["files"] else "text"


def build() -> Email:
    return Email()
