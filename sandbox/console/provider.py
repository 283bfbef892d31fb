"""The provider's side for the page: what can happen there, what it was asked, which templates it has."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from aiohttp import web

from sandbox.channels.control import Simulator
from sandbox.channels.scenarios import Scenarios
from sandbox.console.answers import as_json, read_object
from sandbox.world import Channel, World

SHOWN_CALLS = 100
_VARIABLE = re.compile(r"\{\{\s*(\w+)\s*\}\}")

Row = dict[str, Any]


class Provider:
    """Routes below `/api/channels/{channel}`; `channel` finds the one of a request. Raises as `Simulator` does."""

    def __init__(self, world: World, channel: Callable[[web.Request], Channel]) -> None:
        self._world = world
        self._channel = channel

    def routes(self) -> list[web.AbstractRouteDef]:
        channel = "/api/channels/{channel}"
        return [
            web.get(f"{channel}/scenarios", self._state),
            web.post(f"{channel}/scenarios/{{scenario}}", self._run),
            web.delete(f"{channel}/scenarios", self._end),
            web.post(f"{channel}/reconnect", self._reconnect),
            web.get(f"{channel}/calls", self._calls),
            web.get(f"{channel}/templates", self._templates),
        ]

    async def _state(self, request: web.Request) -> web.Response:
        return as_json(await self._scenarios(request).state())

    async def _run(self, request: web.Request) -> web.Response:
        """`{person}`: whose conversation is open."""
        person = str((await read_object(request)).get("person", ""))
        scenarios = self._scenarios(request)
        await scenarios.run(request.match_info["scenario"], person)
        return as_json(await scenarios.state())

    async def _end(self, request: web.Request) -> web.Response:
        scenarios = self._scenarios(request)
        await scenarios.end()
        return as_json(await scenarios.state())

    async def _reconnect(self, request: web.Request) -> web.Response:
        self._simulator(request)
        await self._world.reconnect(self._channel(request))
        return as_json({})

    async def _calls(self, request: web.Request) -> web.Response:
        """The newest calls; `at` in milliseconds of our own clock, not of the provider's."""
        simulator = self._simulator(request)
        before = time.time()  # rather too early than after what came of the call
        ahead = (await simulator.get("clock"))["now"] - before
        calls = await simulator.get("calls", limit=str(SHOWN_CALLS))
        return as_json([{**call, "at": round((call["at"] - ahead) * 1000)} for call in calls])

    async def _templates(self, request: web.Request) -> web.Response:
        channel = self._channel(request)
        return as_json(await templates_of(channel) if channel.sandbox.has_templates else [])

    def _simulator(self, request: web.Request) -> Simulator:
        simulator = self._channel(request).simulator
        if simulator is None:
            raise web.HTTPNotFound(text="This channel runs against the real provider.")
        return simulator

    def _scenarios(self, request: web.Request) -> Scenarios:
        channel = self._channel(request)
        return Scenarios(self._simulator(request), channel.sandbox.scenarios, channel.accounts[0].external_id or "")


async def templates_of(channel: Channel) -> list[Row]:
    """The templates of a channel's first account, as an inbox would know them.

    Each is `{workspace_id, account_id, name, language, status, category, components, parameters}`; `parameters` are the
    names of what the body leaves open, in its order.
    """
    if channel.simulator is None:
        return []
    account = channel.accounts[0]
    whose = {"workspace_id": account.workspace_id, "account_id": account.account_id}
    told = ("name", "language", "status", "category", "components")
    found = await channel.simulator.get("templates")
    return [{**whose, **{name: row[name] for name in told}, "parameters": _open_in(row)} for row in found]


def _open_in(template: Row) -> list[str]:
    bodies = (part.get("text", "") for part in template["components"] if part.get("type") == "BODY")
    return [name for body in bodies for name in dict.fromkeys(_VARIABLE.findall(body))]
