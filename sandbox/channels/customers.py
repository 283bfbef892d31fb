"""The people of a simulated channel, for the console: every simulator is asked the same way, by its `/_sim/`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import aiohttp
import orjson

from sandbox.channels.control import Simulator, SimulatorRefused, Upload

SAMPLES = Path(__file__).parent / "samples"
_TYPES = {".webp": "image/webp", ".ogg": "audio/ogg"}


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody a customer can be played as. `peers` are the last parts of the conversation ids they may have."""

    id: str
    name: str
    detail: str
    peers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FileView:
    """A file in a bubble; without an `id` it cannot be fetched."""

    id: str | None
    kind: Literal["image", "video", "audio", "file"]
    name: str
    size: int | None = None


@dataclass(frozen=True, slots=True)
class ButtonView:
    """A button under a bubble: `data` goes to the action `press`, `url` is only shown."""

    title: str
    data: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Bubble:
    """One message as the customer's app shows it. `at` is Unix time in seconds; `mine`: the customer wrote it."""

    id: str
    mine: bool
    at: float
    text: str = ""
    reply_to: str | None = None
    files: tuple[FileView, ...] = ()
    buttons: tuple[tuple[ButtonView, ...], ...] = ()
    reactions: tuple[str, ...] = ()
    my_reaction: str | None = None
    edited: bool = False
    deleted: bool = False
    read: bool = False
    subject: str = ""
    html: str | None = None
    quoted: str = ""  # what the text repeats of the message before


@dataclass(frozen=True, slots=True)
class View:
    """A conversation as the customer's app shows it. `typing_until` is Unix time in seconds."""

    messages: tuple[Bubble, ...] = ()
    typing_until: float = 0.0
    blocked: bool = False


Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Share:
    """What a phone sends beside texts and files: a request to `/_sim/`; a file of `samples/` may go with it."""

    path: str
    body: Row
    sample: str | None = None


Action = Callable[[str, Row, Upload | None], Awaitable[None]]
"""What a person does: person id, the fields the page sends, a file. Raises SimulatorRefused, `aiohttp.ClientError`."""


class Customers:
    """`deeds` are what people can do here, of `write` (text, reply_to, with a file too), `edit` (message_id, text),
    `delete` (message_id), `react` (message_id, emoji, empty to take it back), `press` (message_id, data), `start`
    (payload), `block` (blocked) and `read`; the page offers what is there. `person` and `view` say how a row of
    `/_sim/people` and a conversation look in the channel's app. `shares` are what the phone has besides (`location`,
    `contact`, `sticker`, `voice`, `post`): each makes the request out of person id and fields.
    """

    def __init__(
        self,
        simulator: Simulator,
        deeds: Sequence[str],
        person: Callable[[Row], Person],
        view: Callable[[Row], View],
        shares: Mapping[str, Callable[[str, Row], Share]] | None = None,
    ) -> None:
        self.shares = shares or {}
        self.actions: Mapping[str, Action] = {name: partial(self._act, name) for name in deeds}
        self._simulator = simulator
        self._person = person
        self._view = view

    async def people(self) -> list[Person]:
        return [self._person(row) for row in await self._simulator.get("people")]

    async def add_person(self, name: str) -> None:
        await self._simulator.post("people", {"name": name})

    async def view(self, person_id: str) -> View:
        try:
            return self._view(await self._simulator.get("conversation", person=person_id))
        except SimulatorRefused as refused:
            if refused.status == 404:
                return View()  # nothing was ever said
            raise

    async def open_file(self, file_id: str) -> aiohttp.ClientResponse:
        """A file of a bubble, by its id or a URL of the simulator's; the caller closes the response."""
        return await self._simulator.open(file_id if "://" in file_id else f"/_sim/files/{quote(file_id, safe='')}")

    async def share(self, person_id: str, fields: Row) -> None:
        """Send what `fields` say: `kind`, and what belongs to it. Raises KeyError where the phone has no such thing."""
        given = {"name": "", "phone": "", "latitude": "0", "longitude": "0", **fields}
        share = self.shares[str(given["kind"])](person_id, given)
        if share.sample is None:
            await self._simulator.post(share.path, share.body)
            return
        file = SAMPLES / share.sample
        upload = Upload(file.name, _TYPES[file.suffix], _once(file.read_bytes()))
        await self._simulator.post_form(share.path, {"arguments": orjson.dumps(dict(share.body)).decode()}, upload)

    async def _act(self, name: str, person_id: str, fields: Row, file: Upload | None) -> None:
        path = f"people/{quote(person_id, safe='')}/{name}"
        given = {key: value for key, value in fields.items() if value not in (None, "")}
        if file is None:
            await self._simulator.post(path, given)
        else:
            await self._simulator.post_form(path, given, file)


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content
