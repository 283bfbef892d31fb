"""What people with WhatsApp do and see, for `/_sim/`: the deeds of a console, and all that WhatsApp has beyond them."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from pydantic import InstanceOf

from sandbox.simulators.common import ControlError, said
from sandbox.simulators.control import Row, Work
from sandbox.simulators.whatsapp.errors import GraphError
from sandbox.simulators.whatsapp.media import Media
from sandbox.simulators.whatsapp.model import Customer, Number, Received, Sent
from sandbox.simulators.whatsapp.platform import Platform

_SETTABLE = frozenset(
    {
        "name",
        "username",
        "shows_phone",
        "receipts",
        "on_whatsapp",
        "blocked_us",
        "marketing_opt_out",
        "identity_key_hash",
    }
)


class People:
    """`person` is a phone, an alias, a BSUID or a customer's key; `account` a phone number id, without it the first."""

    def __init__(self, platform: Platform) -> None:
        self._sim = platform

    def operations(self) -> dict[str, Work]:
        deeds = ("write", "edit", "delete", "react", "press", "read", "block")
        more = ("say", "played", "number", "user_id", "identity", "preference", "raw")
        return {
            "GET people": self.people,
            "POST people": self.add,
            "PATCH people/{person}": self.change,
            "GET conversation": self.conversation,
            "POST files": self.add_file,
            "GET files/{file}": self.file,
            "POST groups": self.add_group,
            **{f"POST people/{{person}}/{name}": getattr(self, name) for name in (*deeds, *more)},
        }

    def people(self) -> list[Row]:
        """Everybody, at most 1,000."""
        return [_view(customer) for customer in list(self._sim.world.customers.values())[:1000]]

    def add(
        self,
        name: str | None = None,
        phone: str | None = None,
        user_id: str | None = None,
        username: str | None = None,
        parent_user_id: str | None = None,
        shows_phone: bool = True,
        aliases: tuple[str, ...] = (),
        receipts: bool = True,
        on_whatsapp: bool = True,
    ) -> Row:
        """Somebody new; without a `phone` and a `user_id` both are made up."""
        if not phone and not user_id:
            number = len(self._sim.world.customers)
            phone, user_id = f"4670174{number:04}", f"SE.4711082{number:04}"
        if any(self._sim.world.at_address(a.lstrip("+")) for a in (phone, user_id, *aliases) if a):
            raise ControlError(409, "a customer with this address exists")
        customer = self._sim.add_customer(
            phone, user_id=user_id, name=name, username=username, parent_user_id=parent_user_id,
            shows_phone=shows_phone, aliases=aliases, receipts=receipts, on_whatsapp=on_whatsapp,
        )  # fmt: skip
        return _view(customer)

    def change(self, person: str, **settings: Any) -> Row:
        """Settings that need no webhook: name, shows_phone, receipts, on_whatsapp, blocked_us and the like."""
        customer = self._find(person)
        if unknown := sorted(settings.keys() - _SETTABLE):
            raise ValueError(f"cannot set {unknown[0]}; settable: {', '.join(sorted(_SETTABLE))}")
        for name, value in settings.items():
            setattr(customer, name, value)
        return _view(customer)

    def conversation(self, person: str, account: str | None = None, limit: int = 200) -> Row:
        """A chat as the person sees it; 404 before anything was said."""
        number = self._number(account) or self._sim.world.number()
        customer = self._find(person)
        for found in self._sim.world.conversations(customer):
            if found.number is number:
                # The API's failures never reached the customer's phone.
                seen = [m for m in found.messages() if isinstance(m, Received) or m.status != "failed"]
                return {
                    "account": number.phone_number_id,
                    "person": person_id(customer),
                    "window_until": found.window_until,
                    "typing_until": found.typing_until,
                    "blocked": customer.blocked_us,
                    "messages": [message.view() for message in seen[-limit:]],
                }
        raise ControlError(404, "nothing was said yet")

    def add_file(self, file: InstanceOf[Media]) -> Row:
        """A customer's file, for `media_id` of a message in Meta's own shape."""
        return {"id": file.id, "kind": file.kind, "size": file.size}

    def file(self, file: str) -> web.FileResponse:
        """The bytes of a file, by its media id."""
        try:
            media = self._sim.media.get(file)
        except GraphError:
            raise ControlError(404, "no such file") from None
        return web.FileResponse(media.path, headers={"Content-Type": media.mime_type})

    def add_group(self, group_id: str, participants: list[str], subject: str = "", account: str | None = None) -> Row:
        """A group of at most eight people and one number."""
        members = [self._find(person) for person in participants]
        group = self._sim.add_group(group_id, subject, members, number=self._number(account))
        return {"id": group.group_id}

    # ----------------------------------------------------------------------------------------------- deeds

    def write(
        self,
        person: str,
        text: str = "",
        reply_to: str | None = None,
        file: InstanceOf[Media] | None = None,
        account: str | None = None,
    ) -> Row:
        """Write, or send a file with `text` as its caption."""
        said(text, file)
        if file is None:
            return self.say(person, "text", account, reply_to=reply_to, body=text)
        family = file.mime_type.partition("/")[0]
        kind = family if family in ("image", "video", "audio") else "document"
        caption: Row = {"caption": text} if text and kind != "audio" else {}
        return self.say(person, kind, account, reply_to=reply_to, media_id=file.id, **caption)

    def edit(self, person: str, message_id: str, text: str, account: str | None = None) -> Row:
        """Change an own text; only a coexistence number's webhooks tell of it in Meta's documentation."""
        message = {"type": "text", "text": {"body": text}}
        return self.say(person, "edit", account, original_message_id=message_id, message=message)

    def delete(self, person: str, message_id: str, account: str | None = None) -> Row:
        """Delete an own message for both sides."""
        return self.say(person, "revoke", account, original_message_id=message_id)

    def react(self, person: str, message_id: str, emoji: str = "", account: str | None = None) -> Row:
        """React to a message; without an emoji the reaction is taken back."""
        return self.say(person, "reaction", account, message_id=message_id, emoji=emoji or None)

    def press(self, person: str, message_id: str, data: str, title: str = "", account: str | None = None) -> Row:
        """Tap a button or a row of a list: `data` is `button_reply:<its id>` or `list_reply:<its id>`."""
        kind, _, answer_id = data.partition(":")
        return self.say(person, kind, account, reply_to=message_id, id=answer_id, title=title or answer_id)

    def read(self, person: str, message_id: str | None = None, account: str | None = None) -> Row:
        """Open the chat: everything, or everything up to that message, is read."""
        count = self._sim.customers.read(self._find(person), number=self._number(account), message_id=message_id)
        return {"read": count}

    def block(self, person: str, blocked: bool = True) -> None:
        """Block the business, or unblock it."""
        self._find(person).blocked_us = blocked

    # ------------------------------------------------------------------------------------ only on WhatsApp

    def say(
        self,
        person: str,
        kind: str = "text",
        account: str | None = None,
        group_id: str | None = None,
        file: InstanceOf[Media] | None = None,
        **content: Any,
    ) -> Row:
        """Send a message of any kind; its content as the builders of `inbound` take it, a file in a form."""
        stored: Row = {} if file is None else {"media_id": file.id}
        group = self._sim.world.groups[group_id] if group_id is not None else None
        number = self._number(account)
        customer = self._find(person)
        return {"id": self._sim.customers.say(customer, kind, number=number, group=group, **stored, **content)}

    def played(self, person: str, message_id: str) -> None:
        """Listen to a voice message."""
        self._find(person)
        message = self._sim.world.message(message_id)
        if not isinstance(message, Sent):
            raise ControlError(404, "no such message")
        self._sim.customers.play(message)

    def number(self, person: str, phone: str, user_id: str | None = None) -> Row:
        """Move to another phone number."""
        customer = self._find(person)
        self._sim.customers.change_number(customer, phone, user_id=user_id)
        return _view(customer)

    def user_id(self, person: str, user_id: str | None = None) -> Row:
        """Get another business-scoped user id."""
        customer = self._find(person)
        self._sim.customers.rotate_user_id(customer, user_id)
        return _view(customer)

    def identity(self, person: str, identity_key_hash: str) -> Row:
        """Install WhatsApp anew."""
        customer = self._find(person)
        self._sim.customers.change_identity(customer, identity_key_hash)
        return _view(customer)

    def preference(self, person: str, value: str, account: str | None = None) -> None:
        """`stop`, `resume` or `signup` marketing messages."""
        self._sim.customers.prefer_marketing(self._find(person), value, number=self._number(account))

    def raw(self, person: str, item: dict[str, Any], account: str | None = None) -> Row:
        """Send a message in Meta's own shape; a missing id, sender and time are filled in."""
        customer = self._find(person)
        conversation = self._sim.world.conversation(self._number(account) or self._sim.world.number(), customer)
        return {"id": self._sim.customers.receive(customer, conversation, item)}

    def _find(self, person: str) -> Customer:
        found = self._sim.world.find_customer(person)
        if found is None:
            raise ControlError(404, f"no customer {person}")
        return found

    def _number(self, account: str | None) -> Number | None:
        return None if account is None else number_of(self._sim, account)


def number_of(platform: Platform, account: str) -> Number:
    """The number of that phone number id. Raises ControlError."""
    number = platform.world.numbers.get(account)
    if number is None:
        raise ControlError(404, f"no number {account}")
    return number


def person_id(customer: Customer) -> str:
    """What rows and lists call somebody."""
    return customer.phone or customer.user_id or customer.key


def _view(customer: Customer) -> Row:
    names = ("key", "phone", "user_id", "parent_user_id", "aliases", *sorted(_SETTABLE))
    return {"id": person_id(customer), **{name: getattr(customer, name) for name in names}}
