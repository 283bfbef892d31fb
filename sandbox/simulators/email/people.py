"""What people do in their mail programs."""

from __future__ import annotations

from typing import Any

from .delivery import Delivery, Letter
from .mails import Mail, written
from .upload import Upload
from .world import World

Row = dict[str, Any]


class People:
    """Every method returns once the mail waits to be delivered. Unknown ids raise LookupError."""

    def __init__(self, world: World, delivery: Delivery) -> None:
        self._world = world
        self._delivery = delivery

    def writes(
        self,
        person: str,
        account: str | None,
        text: str,
        subject: str = "",
        *,
        html: str | None = None,
        reply_to: str | None = None,
        file: Upload | None = None,
    ) -> Row:
        """A person writes to an account, or to the first one; `reply_to` is a mail that is answered, and quoted."""
        writer, to = self._world.person(person), self._world.account(account).address
        answers = self._world.mail(reply_to) if reply_to else None
        now = self._world.clock.now()
        mailbox = (writer.name, writer.address)
        return self.sends(
            person, account, written(mailbox, to, text, now, subject=subject, answers=answers, html=html, file=file)
        )

    def sends(self, person: str, account: str | None, raw: bytes) -> Row:
        """Any bytes as a mail of somebody's; its ids."""
        world = self._world
        writer, to = world.person(person), world.account(account)
        mail = Mail(world.next_id(), to.address, writer.address, False, world.clock.now(), raw)
        world.keep(writer, mail)
        self._delivery.post(Letter(writer.address, _recipient(mail, to.address), raw, to))
        return {"id": mail.id, "message_id": mail.row()["message_id"]}


def _recipient(mail: Mail, account: str) -> str:
    """To whom the envelope goes: what stands in To, where it is the account or a plus part of it."""
    local, _, domain = account.partition("@")
    for one in getattr(mail.read()["To"], "addresses", ()):
        given = str(one.addr_spec).lower()
        if given == account or (given.startswith(f"{local}+") and given.endswith(f"@{domain}")):
            return given
    return account
