"""TikTok's part of `/_sim/`: its accounts and their tokens, the consent page, and every method of `People`.

Keys of a fault's `where`: `call` (a name of the tables, `file` for a download link, `webhook`), `account` (a business
id), `to` (a conversation id); of webhooks also `event`. `endpoint`, `business_id` and `conversation_id` are other names
of them.
"""

from __future__ import annotations

from dataclasses import asdict
from itertools import islice
from typing import Any

import orjson
from aiohttp import BodyPartReader, web
from pydantic import InstanceOf

from sandbox.simulators.common import ControlError, said
from sandbox.simulators.control import SHOWN, Control, operations_of

from .errors import Rejected
from .media import FORMATS, MAX_CUSTOMER_BYTES, Blob
from .oauth import Consent
from .people import People
from .platform import Platform
from .tokens import DEFAULT_SCOPE
from .views import Row, Shown, full, summary
from .webhooks import sign
from .world import Account, Conversation

MAX_PEOPLE = 1_000

_DEEDS = ("write", "react", "press", "read")


def build(platform: Platform, people: People, consent: Consent) -> Control:
    """The control interface of one simulator."""
    owner, phone = _Owner(platform, consent), _Phone(platform, people)
    own = {
        "GET accounts": owner.accounts,
        "POST accounts": owner.add_account,
        "POST accounts/{account}/revoke": owner.revoke,
        "POST accounts/{account}/expire": owner.expire,
        "POST consent": owner.consent,
        "POST webhooks": owner.set_webhook,
        "GET webhooks": owner.webhooks,
        "POST webhooks/raw": owner.raw,
        "GET people": phone.people,
        "POST people": phone.add,
        "GET conversation": phone.conversation,
        "GET conversations": phone.conversations,
        "POST files": phone.add_file,
        "GET files/{file}": phone.file,
        **{f"POST people/{{person}}/{name}": getattr(phone, name) for name in _DEEDS},
        **operations_of(people, "people"),
    }
    return Control(Shown(platform), own, _Files(platform), refusals=(Rejected,))


class _Files:
    """Customers' files that come with a form."""

    def __init__(self, platform: Platform) -> None:
        self._media = platform.media

    async def store(self, part: BodyPartReader) -> Blob:
        return await self._media.store(part.read_chunk, limit=MAX_CUSTOMER_BYTES, formats=FORMATS)

    def discard(self, stored: Blob) -> None:
        self._media.discard(stored)


class _Owner:
    """What belongs to the account's owner and the app's developer."""

    def __init__(self, platform: Platform, consent: Consent) -> None:
        self._platform = platform
        self._consent = consent

    def accounts(self) -> list[Row]:
        """The business accounts."""
        return [{"id": a.business_id, **asdict(a)} for a in self._platform.world.accounts.values()]

    def add_account(
        self,
        business_id: str,
        username: str,
        display_name: str = "",
        country: str = "SG",
        images: bool = True,
        comment_to_message: bool = False,
        is_business: bool = True,
        scope: list[str] | None = None,
        access_token: str | None = None,
        refresh_token: str | None = None,
    ) -> Row:
        """A business account, with a token pair; given tokens let a deployment know them beforehand."""
        traits = (country, images, comment_to_message, is_business)
        self._platform.world.add_account(Account(business_id, username, display_name or username, *traits))
        pair = self._platform.tokens.issue(
            business_id,
            tuple(DEFAULT_SCOPE if scope is None else scope),
            access_token=access_token,
            refresh_token=refresh_token,
        )
        return {"id": business_id, **asdict(pair)}

    def revoke(self, account: str) -> None:
        """The account's tokens end, and nobody is told."""
        self._platform.world.account(account)
        self._platform.tokens.remove(account)

    def expire(self, account: str, refresh: bool = False) -> None:
        """The account's access tokens have expired; with `refresh` its refresh token, too."""
        self._platform.tokens.expire(account, refresh=refresh)

    def consent(self, account: str, scope: list[str] | None = None) -> None:
        """Who sits in front of the consent page, and what they agree to: without `scope`, to all that is asked for."""
        self._platform.world.account(account)
        self._consent.business_id = account
        self._consent.scope = None if scope is None else tuple(scope)

    def set_webhook(self, url: str | None) -> None:
        """Where webhooks go from now on; null: nowhere."""
        self._platform.webhooks.callback_url = url

    def webhooks(self) -> Row:
        """Totals, and the newest attempts to deliver."""
        webhooks = self._platform.webhooks
        return {
            "url": webhooks.callback_url,
            "totals": dict(webhooks.totals),
            "redelivering": webhooks.redelivering,
            "attempts": [attempt._asdict() for attempt in webhooks.attempts],
        }

    async def raw(
        self,
        body: Any = None,
        account: str = "",
        event: str = "im_receive_msg",
        content: dict[str, Any] | str = "",
        signature: str | None = None,
        timestamp: int | None = None,
    ) -> None:
        """Deliver any body, text as it is and everything else as JSON, signed unless a `signature` is given.

        Without a `body` an envelope around `content`. `timestamp` is what is signed instead of the time.
        """
        webhooks = self._platform.webhooks
        delivery = webhooks.delivery(event, content, account)
        if body is not None:
            delivery.body = body.encode() if isinstance(body, str) else orjson.dumps(body)
        delivery.signature = signature
        if timestamp is not None:
            delivery.signature = sign(self._platform.options.app_secret, timestamp, delivery.body)
        await webhooks.post(delivery)


class _Phone:
    """What a person does and sees. `account` is the business id; without it the first account.

    A thread exists from somebody's first message on; who has not written yet is remembered here by name.
    """

    def __init__(self, platform: Platform, people: People) -> None:
        self._platform = platform
        self._people = people
        self._names: dict[str, str] = {}

    def people(self) -> list[Row]:
        """Everybody who was added or has written, at most 1,000."""
        threads = list(self._platform.world.conversations.values())[-MAX_PEOPLE:]
        wrote = {thread.customer.username: thread.customer.display_name for thread in threads}
        everybody = {**self._names, **wrote}
        peers = {thread.customer.username: thread.conversation_id for thread in threads}
        return [{"id": user, "name": name, "conversation_id": peers.get(user)} for user, name in everybody.items()]

    def add(self, name: str, username: str = "") -> Row:
        """Somebody new; without a `username` one is made of the name."""
        plain = "".join(letter for letter in name.lower() if letter.isascii() and letter.isalnum()) or "user"
        username = username or f"{plain}{len(self._names)}"
        if len(self._names) >= MAX_PEOPLE or username in self._names:
            raise ControlError(409, "this name is taken, or there are too many people")
        self._names[username] = name
        return {"id": username, "name": name, "conversation_id": None}

    def conversation(self, person: str, account: str | None = None) -> Row:
        """A thread as the person sees it; 404 before anything was said."""
        return full(self._platform, self._thread(person, account))

    def conversations(self, account: str | None = None, limit: int = SHOWN) -> list[Row]:
        """The newest threads, without their messages."""
        newest = reversed(self._platform.world.conversations.values())
        chosen = (c for c in newest if account in (None, c.account.business_id))
        return [summary(self._platform, c) for c in islice(chosen, max(0, limit))]

    def add_file(self, file: InstanceOf[Blob]) -> Row:
        """A customer's file, for `content.media_id` of `people/writes`."""
        return {"id": file.media_id, "kind": file.kind.lower(), "size": file.size}

    def file(self, file: str) -> web.FileResponse:
        """The bytes of a file, by its `media_id`."""
        try:
            blob = self._platform.media.get(file)
        except Rejected as gone:
            raise ControlError(404, gone.message) from None
        return web.FileResponse(blob.path, headers={"Content-Type": blob.content_type})

    async def write(
        self,
        person: str,
        text: str = "",
        reply_to: str | None = None,
        file: InstanceOf[Blob] | None = None,
        account: str | None = None,
    ) -> Row:
        """Write, or send a picture or a video; a `text` with one is a message of its own, after it.

        A thread is made on first contact.
        """
        said(text, file)
        written: list[tuple[str, dict[str, Any]]] = []
        if file is not None:
            written.append((file.kind.lower(), {"media_id": file.media_id}))
        if text:
            written.append(("text", {"body": text}))
        traits: dict[str, Any] = {"display_name": self._names[person]} if person in self._names else {}
        for kind, content in written:
            message = await self._people.writes(
                self._account(account), person, kind, references=reply_to, content=content, **traits
            )
        return {"id": message.message_id, "conversation_id": self._thread(person, account).conversation_id}

    async def react(self, person: str, message_id: str, emoji: str = "", account: str | None = None) -> None:
        """React to a message; without an emoji the person's reactions to it are taken back."""
        thread = self._thread(person, account)
        target = thread.find(message_id)
        if emoji or target is None:
            await self._people.reacts(thread.conversation_id, message_id, emoji=emoji or None)
            return
        for reaction in list(target.reactions):
            if reaction["unique_identifier"] == thread.customer.user_id:
                drawn: dict[str, Any] = {name: reaction.get(name) for name in ("emoji", "ai_emoji_url")}
                await self._people.reacts(thread.conversation_id, message_id, remove=True, **drawn)

    async def press(self, person: str, message_id: str, data: int, title: str = "", account: str | None = None) -> Row:
        """Tap the card's button number `data`, the first is 0; its title is written in the person's name."""
        thread = self._thread(person, account)
        return {"id": (await self._people.taps(thread.conversation_id, message_id, data)).message_id}

    async def read(self, person: str, account: str | None = None) -> None:
        """Open the thread: everything sent so far is read."""
        await self._people.reads(self._thread(person, account).conversation_id)

    def _account(self, account: str | None) -> str:
        if account is not None:
            return self._platform.world.account(account).business_id
        if not self._platform.world.accounts:
            raise ControlError(404, "there is no account yet")
        return next(iter(self._platform.world.accounts))

    def _thread(self, person: str, account: str | None) -> Conversation:
        return self._platform.world.find_thread(self._account(account), person)
