"""Telegram's part of `/_sim/`: what people do to bots, and every method of `Setup` and `Customer`.

Keys of a fault's `where`: `call` (a method, `download` for files, `webhook` for updates on their way), `account` (a
bot), `to` (a chat); of updates also `kind`. `bot`, `chat` and `method` are other names of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aiohttp import BodyPartReader, web
from pydantic import InstanceOf

from sandbox.simulators.common import ControlError, said
from sandbox.simulators.control import Control, operations_of
from sandbox.simulators.feed import Feed
from sandbox.simulators.telegram.bodies import TooLarge, Upload
from sandbox.simulators.telegram.customer import Customer, FileKind
from sandbox.simulators.telegram.errors import ApiError
from sandbox.simulators.telegram.model import Json
from sandbox.simulators.telegram.setup import Setup
from sandbox.simulators.telegram.view import show_call, show_conversation, show_sent, show_state
from sandbox.simulators.telegram.world import World

MAX_CUSTOMER_FILE = 2_000_000_000  # bytes: what people may send each other


def build(world: World, setup: Setup, customer: Customer) -> Control:
    """The control interface of one simulator."""
    people = People(world, setup, customer)
    own = {
        "GET accounts": people.accounts,
        "POST accounts": setup.bot,
        "POST accounts/{account}/revoke": people.revoke,
        "GET people": people.people,
        "POST people": people.add,
        "GET conversation": people.conversation,
        "GET files/{file}": people.file,
        "POST webhooks/raw": people.raw,
        **{f"POST people/{{person}}/{name}": getattr(people, name) for name in _DEEDS},
        **operations_of(setup, "setup", leave=["find_"]),
        **operations_of(customer, "customer"),
    }
    return Control(_Simulated(world), own, _Files(world), refusals=(ApiError, TooLarge))


_DEEDS = ("write", "edit", "delete", "react", "press", "start", "block")


class _Simulated:
    """The world, as the operations that all simulators have see it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.clock = world.clock
        self.faults = world.faults
        self.behaviour = world.behaviour
        self.forget = world.forget

    @property
    def feed(self) -> Feed:
        return self._world.feed

    def state(self) -> Json:
        return show_state(self._world)

    def person(self, person: str) -> str:
        if not any(str(chat) == person for _, chat, _ in self._world.conversations):
            raise LookupError("nothing was ever said to anybody of this id")
        return person

    def sent(self) -> Iterator[Json]:
        for conversation in self._world.conversations.values():
            yield from (show_sent(conversation, sent) for sent in conversation.sent)

    def calls(self) -> Iterator[Json]:
        return (show_call(call) for call in self._world.calls)

    def violations(self) -> Iterator[Json]:
        return ({"call": one["method"], "account": str(one["bot_id"]), **one} for one in self._world.violations)


class _Files:
    """Files that come with a form."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def store(self, part: BodyPartReader) -> Upload:
        mime_type = part.headers.get("Content-Type", "")
        return await self._world.spool.store(part, part.filename or "", mime_type, MAX_CUSTOMER_FILE)

    def discard(self, stored: Upload) -> None:
        stored.discard()


class People:
    """What somebody does in the private chat with a bot. `account` is the bot's id; without it the first bot."""

    def __init__(self, world: World, setup: Setup, customer: Customer) -> None:
        self._world = world
        self._setup = setup
        self._customer = customer

    def accounts(self) -> list[Json]:
        """The bots, with what their webhooks are and how they fare."""
        return show_state(self._world)["bots"]  # type: ignore[no-any-return]

    def revoke(self, account: int) -> None:
        """The owner revokes the bot's token: every call answers 401."""
        self._setup.revoke(account)

    def people(self) -> list[Json]:
        """Everybody, at most 1,000."""
        return [_shown(person.as_user()) for person in list(self._world.people.values())[:1000]]

    def add(self, name: str, id: int | None = None, username: str = "", language_code: str = "") -> Json:
        """Somebody new."""
        first, _, last = name.partition(" ")
        return _shown(self._setup.person(id, first, last, username, language_code))

    def conversation(self, person: int, account: int | None = None, connection_id: str | None = None) -> Json:
        """A chat as the person sees it; 404 before anything was said. In a group `person` is the group's id."""
        found = self._world.conversations.get((self._bot(account), person, connection_id))
        if found is None:
            raise ControlError(404, "no such conversation")
        return show_conversation(self._world, found)

    def file(self, file: str) -> web.FileResponse:
        """The bytes of a file, by its `file_id`."""
        stored = self._world.files.get(file)
        if stored is None:
            raise ControlError(404, "no such file")
        return web.FileResponse(stored.upload.path, headers={"Content-Type": stored.mime_type})

    def raw(self, body: Json, account: int | None = None) -> Json:
        """Deliver any JSON object as an update of the bot, with its secret token."""
        return {"update_id": self._customer.update(self._bot(account), body)}

    async def write(
        self,
        person: int,
        text: str = "",
        reply_to: int | None = None,
        file: InstanceOf[Upload] | None = None,
        account: int | None = None,
    ) -> Json:
        """Write, or send a file with `text` as its caption."""
        said(text, file)
        if file is None:
            message = self._customer.send(self._bot(account), person, text, reply_to=reply_to)
        else:
            kind = _kind_of(file)
            message = await self._customer.send_file(self._bot(account), person, kind, file, text, reply_to=reply_to)
        return {"id": str(message["message_id"])}

    def edit(self, person: int, message_id: int, text: str, account: int | None = None) -> None:
        """Change the text or the caption of an own message."""
        self._customer.edit(self._bot(account), person, message_id, text)

    def delete(self, person: int, message_id: int, account: int | None = None) -> None:
        """Delete a message for both sides; the bot hears nothing of it."""
        self._customer.delete(self._bot(account), person, [message_id])

    def react(self, person: int, message_id: int, emoji: str = "", account: int | None = None) -> None:
        """React to a message; without an emoji the reaction is taken back."""
        self._customer.react(self._bot(account), person, message_id, [emoji] if emoji else [])

    def press(self, person: int, message_id: int, data: str, title: str = "", account: int | None = None) -> Json:
        """Press the inline button that has this `callback_data`; its title plays no part."""
        return {"id": self._customer.press(self._bot(account), person, message_id, data)}

    def start(self, person: int, payload: str = "", account: int | None = None) -> Json:
        """Press Start, perhaps from a deep link; a blocked bot is unblocked by it."""
        return {"id": str(self._customer.start(self._bot(account), person, payload)["message_id"])}

    def block(self, person: int, blocked: bool = True, account: int | None = None) -> None:
        """Block the bot, or unblock it."""
        self._setup.block(self._bot(account), person, blocked)

    def _bot(self, account: int | None) -> int:
        if account is not None:
            return account
        if not self._world.bots:
            raise ControlError(404, "there is no bot yet")
        return next(iter(self._world.bots))


def _shown(user: Json) -> dict[str, Any]:
    name = f"{user['first_name']} {user.get('last_name', '')}".strip()
    return {**user, "id": str(user["id"]), "name": name}


def _kind_of(file: Upload) -> FileKind:
    """Telegram's app sends pictures as photos; GIFs and what is no picture keep their own kind."""
    if file.mime_type in ("image/jpeg", "image/png"):
        return "photo"
    family = file.mime_type.partition("/")[0]
    return "video" if family == "video" else "audio" if family == "audio" else "document"
