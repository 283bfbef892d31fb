"""The console's server: the page, what happens as server-sent events, and the deeds of customer and agent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from aiohttp import BodyPartReader, web

from sandbox.broker import HOST
from sandbox.channels.control import Upload
from sandbox.channels.customers import Customers
from sandbox.console.agent import Agent, BadCommand
from sandbox.console.answers import as_json, explain, read_object
from sandbox.console.guard import guard, harden
from sandbox.console.live import Live
from sandbox.console.provider import Provider
from sandbox.console.tail import Tail
from sandbox.world import Channel, World, WorldFailed
from shared.contract.errors import ERRORS
from shared.media.blobs import BlobMissing
from shared.media.sniff import sniff

STATIC = Path(__file__).parent / "static"
PORTS_TRIED = 50
CHUNK = 64 * 1024
SHOWN_MESSAGES = 200
# What a browser may show in place; everything else is downloaded, and all of it without scripts.
_INLINE = frozenset(
    {
        *("image/png", "image/jpeg", "image/gif", "image/webp", "video/mp4", "video/webm"),
        *("audio/mpeg", "audio/ogg", "audio/mp4", "audio/wav"),
    }
)


class Console:
    """Serves the page of one world; `port` is known after `start`."""

    def __init__(self, world: World) -> None:
        self.port = 0
        self._world = world
        self._runner: web.AppRunner | None = None
        self._live: Live | None = None
        self._agent = Agent(world.log, world.topics, world.blobs)

    async def start(self, port: int) -> None:
        """Listen on loopback: on `port`, or the next one that is free. Raises WorldFailed when none of many is."""
        world = self._world
        topics = [
            *(topic.name for topic in world.topics.shared()),
            *(topic.name for name in world.channels for topic in world.topics.of_channel(name)),
        ]
        self._live = Live(Tail(world.bootstrap, topics))
        await self._live.start({c.name: c.simulator for c in world.channels.values() if c.simulator is not None})
        app = web.Application(middlewares=[guard, explain], client_max_size=1024 * 1024)
        app.on_response_prepare.append(harden)
        app.add_routes(self._routes(self._live))
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        for candidate in range(port, port + PORTS_TRIED):
            try:
                await web.TCPSite(self._runner, HOST, candidate).start()
            except OSError:
                continue
            self.port = self._runner.addresses[0][1]
            return
        raise WorldFailed(f"no free port from {port} to {port + PORTS_TRIED - 1}")

    async def stop(self) -> None:
        if self._live is not None:
            await self._live.stop()
        if self._runner is not None:
            await self._runner.cleanup()

    def _routes(self, live: Live) -> list[web.AbstractRouteDef]:
        person = "/api/channels/{channel}/people"
        return [
            web.get("/", _page),
            web.static("/static", STATIC),
            web.get("/api/world", self._describe),
            web.get("/api/events", live.serve),
            web.post("/api/channels/{channel}/commands", self._command),
            web.post("/api/channels/{channel}/preflight", self._preflight),
            web.post("/api/files", self._store_file),
            web.get("/api/blobs/{key:.+}", self._blob),
            web.get(person, self._people),
            web.post(person, self._add_person),
            web.get(f"{person}/{{person}}", self._view),
            web.post(f"{person}/{{person}}/share", self._share),
            web.post(f"{person}/{{person}}/{{action}}", self._act),
            web.get("/api/channels/{channel}/files", self._simulator_file),
            *Provider(self._world, self._channel).routes(),
        ]

    async def _describe(self, request: web.Request) -> web.Response:
        """What there is: channels, their accounts, what a customer can do there."""
        channels = [
            {
                "name": channel.name,
                "title": channel.sandbox.title,
                "colour": channel.sandbox.colour,
                "subjects": channel.sandbox.subjects,
                "accounts": [{"id": a.account_id, "name": a.display_name} for a in channel.accounts],
                "actions": sorted(channel.customers.actions) if channel.customers else None,
                "shares": sorted(channel.customers.shares) if channel.customers else [],
                "untold": channel.sandbox.untold,
                "templates": channel.sandbox.has_templates and channel.simulator is not None,
                "scenarios": [
                    {"name": name, "title": scenario.title, "does": scenario.does}
                    for name, scenario in channel.sandbox.scenarios.items()
                    if channel.simulator is not None
                ],
                "service": channel.service_url,
                "simulator": channel.simulator.url if channel.simulator else None,
            }
            for channel in self._world.channels.values()
        ]
        errors = {code.value: {"detail": fact.sentence, "remedy": fact.remedy} for code, fact in ERRORS.items()}
        kafka = self._world.bootstrap
        return as_json({"channels": channels, "prefix": self._world.topics.prefix, "kafka": kafka, "errors": errors})

    # ----------------------------------------------------------------------------------------------- agent

    async def _command(self, request: web.Request) -> web.Response:
        """`{type, …}`: a command's fields as the contract has them."""
        fields = await read_object(request)
        channel = self._channel(request)
        command_id = await self._agent.command(channel.name, str(fields.pop("type", "")), fields)
        return as_json({"command_id": command_id}, 201)

    async def _preflight(self, request: web.Request) -> web.Response:
        """The same, and nothing is sent: the service says what would become of it, in its own words and status."""
        fields = await read_object(request)
        body = self._agent.asked(str(fields.pop("type", "")), fields)
        async with self._world.session.post(f"{self._channel(request).service_url}/v1/preflight", json=body) as answer:
            return web.Response(body=await answer.read(), status=answer.status, content_type=answer.content_type)

    async def _store_file(self, request: web.Request) -> web.Response:
        """The body is the file, `X-Filename` its percent-encoded name."""
        filename = unquote(request.headers.get("X-Filename", "file"))
        stored = await self._agent.store(filename, request.content_type, request.content.iter_chunked(CHUNK))
        return as_json(stored, 201)

    async def _blob(self, request: web.Request) -> web.StreamResponse:
        key = request.match_info["key"]
        if {".", "..", ""} & set(key.split("/")):
            raise BlobMissing
        chunks = self._world.blobs.stream(key)
        head = await anext(chunks, b"")
        response = _file_response(sniff(head), request.query.get("name", "file"))
        await response.prepare(request)
        await response.write(head)
        async for chunk in chunks:
            await response.write(chunk)
        return response

    # -------------------------------------------------------------------------------------------- customer

    async def _people(self, request: web.Request) -> web.Response:
        return as_json(await self._customers(request).people())

    async def _add_person(self, request: web.Request) -> web.Response:
        """`{name}`."""
        name = str((await read_object(request)).get("name", "")).strip()
        if not name:
            raise KeyError("name")
        await self._customers(request).add_person(name)
        return as_json(await self._customers(request).people(), 201)

    async def _view(self, request: web.Request) -> web.Response:
        view = await self._customers(request).view(request.match_info["person"])
        return as_json(replace(view, messages=view.messages[-SHOWN_MESSAGES:]))

    async def _share(self, request: web.Request) -> web.Response:
        """`{kind, …}`: something the phone has besides texts and files."""
        await self._customers(request).share(request.match_info["person"], await read_object(request))
        return as_json({})

    async def _act(self, request: web.Request) -> web.Response:
        """An action's fields as JSON; with a file as a form: the fields first, then the part `file`."""
        action = self._customers(request).actions.get(request.match_info["action"])
        if action is None:
            raise web.HTTPNotFound(text="Nobody can do this on this channel.")
        person = request.match_info["person"]
        if request.content_type != "multipart/form-data":
            await action(person, await read_object(request), None)
            return as_json({})
        fields: dict[str, Any] = {}
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader):
                continue
            if part.filename is None:
                fields[part.name or ""] = await part.text()
                continue
            mime_type = part.headers.get("Content-Type", "application/octet-stream")
            await action(person, fields, Upload(part.filename, mime_type, _chunks(part)))
            return as_json({})
        raise BadCommand("a form needs a file")

    async def _simulator_file(self, request: web.Request) -> web.StreamResponse:
        """A file as the customer's app has it: `?id=`, and `name` for a download."""
        async with await self._customers(request).open_file(request.query["id"]) as source:
            head = await source.content.readany()
            response = _file_response(sniff(head), request.query.get("name", "file"))
            await response.prepare(request)
            await response.write(head)
            async for chunk in source.content.iter_chunked(CHUNK):
                await response.write(chunk)
        return response

    def _channel(self, request: web.Request) -> Channel:
        channel = self._world.channels.get(request.match_info["channel"])
        if channel is None:
            raise web.HTTPNotFound(text="There is no such channel.")
        return channel

    def _customers(self, request: web.Request) -> Customers:
        customers = self._channel(request).customers
        if customers is None:
            raise web.HTTPNotFound(text="This channel runs against the real provider: its customers are real.")
        return customers


async def _page(request: web.Request) -> web.FileResponse:
    return web.FileResponse(STATIC / "index.html")


def _file_response(mime_type: str | None, filename: str) -> web.StreamResponse:
    inline = mime_type in _INLINE
    response = web.StreamResponse(headers={"Cache-Control": "private, max-age=3600"})
    response.content_type = mime_type if mime_type and inline else "application/octet-stream"
    if not inline:
        response.headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(filename, safe='')}"
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return response


async def _chunks(part: BodyPartReader) -> AsyncIterator[bytes]:
    while chunk := await part.read_chunk(CHUNK):
        yield chunk
