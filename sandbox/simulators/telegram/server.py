"""The Bot API over HTTP: checks, faults, dispatch, and file downloads."""

from __future__ import annotations

import asyncio

import orjson
from aiohttp import web

from sandbox.simulators.common import Fault, gateway_page, gone, leave_unread, trickle
from sandbox.simulators.control import Control
from sandbox.simulators.telegram.bodies import TooLarge, Upload, discard_uploads, read_parameters
from sandbox.simulators.telegram.errors import (
    DEFAULT_DESCRIPTIONS,
    INVALID_TOKEN,
    METHOD_NOT_FOUND,
    NOT_FOUND,
    UNAUTHORIZED,
    ApiError,
    bad_request,
    too_many_requests,
)
from sandbox.simulators.telegram.methods import METHODS, Answer, Call
from sandbox.simulators.telegram.model import Json
from sandbox.simulators.telegram.spec import SpecViolation
from sandbox.simulators.telegram.world import Bot, RecordedCall, World

_SLOW = frozenset({"slow"})
_INSTEAD = frozenset({"error", "refuse", "hang"})
_AFTER = frozenset({"drop_answer"})


class Server:
    """Handles every HTTP request of one simulator."""

    def __init__(self, world: World, control: Control) -> None:
        self._world = world
        self._control = control

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Route by the first path segment; no router, because this is the hot path of benchmarks."""
        path = request.path
        if path.startswith("/bot"):
            return await self._bot_api(request, path)
        if path.startswith("/file/bot"):
            return await self._download(request, path)
        if path.startswith("/_sim/"):
            return await self._control.handle(request)
        return _failure(NOT_FOUND)

    def _authorised(self, token: str) -> Bot:
        bot = self._world.tokens.get(token)
        if bot is None:
            raise UNAUTHORIZED if token.partition(":")[0].isdigit() and ":" in token else INVALID_TOKEN
        if bot.logged_out_until > self._world.clock.now():
            raise ApiError(400, "Logged out")
        return bot

    async def _bot_api(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        token, _, method = path[4:].partition("/")
        parameters: Json = {}
        try:
            bot = self._authorised(token)
            if (fault := self._unread(request, bot, method)) is not None:
                return await leave_unread(request, self._world.faults, fault)
            parameters = await read_parameters(request, self._world.spool)
        except ApiError as error:
            self._world.counters[f"answers_{error.code}"] += 1
            return _failure(error)
        except TooLarge:
            self._world.counters["answers_413"] += 1
            return gateway_page(413)
        try:
            return await self._answer(request, bot, method, parameters)
        finally:
            if request.content_type == "multipart/form-data":
                self._discard_unused(parameters)

    def _unread(self, request: web.BaseRequest, bot: Bot, method: str) -> Fault | None:
        if not self._world.faults.active or request.content_type != "multipart/form-data":
            return None
        return self._world.faults.take(frozenset({"unread"}), _facts(bot, method, {}))

    def _discard_unused(self, parameters: Json) -> None:
        unused = {
            name: value
            for name, value in parameters.items()
            if isinstance(value, Upload) and not self._world.files.is_used(value)
        }
        discard_uploads(unused)

    async def _answer(self, request: web.BaseRequest, bot: Bot, method: str, parameters: Json) -> web.StreamResponse:
        if self._world.faults.active and (faulty := await self._faults_before(request, bot, method, parameters)):
            self._record(bot, method, parameters, faulty.status, "fault")
            return faulty
        try:
            result = await self._perform(bot, method, parameters)
        except ApiError as error:
            self._record(bot, method, parameters, error.code, error.description)
            return _failure(error)
        self._record(bot, method, parameters, 200, "")
        if self._world.faults.active and self._world.faults.take(_AFTER, _facts(bot, method, parameters)):
            return _reset(request)
        envelope: Json = {"ok": True}
        if isinstance(result, Answer):
            envelope |= {"result": result.result, "description": result.description}
        else:
            envelope["result"] = result
        return web.Response(body=orjson.dumps(envelope), content_type="application/json")

    async def _perform(self, bot: Bot, method: str, parameters: Json) -> object:
        name = method.lower()
        spec = self._world.spec
        if name in spec.elsewhere:
            raise ApiError(501, "Not Implemented: not in this simulator")
        if name not in METHODS:
            self._violation(bot, method, "the method does not exist")
            raise METHOD_NOT_FOUND
        try:
            parameters = spec.check(name, parameters)
        except SpecViolation as violation:
            self._violation(bot, method, violation.problem)
            raise bad_request(violation.problem) from None
        return await METHODS[name](Call(self._world, bot, parameters))

    def _violation(self, bot: Bot, method: str, problem: str) -> None:
        self._world.counters["violations"] += 1
        self._world.violations.append({"bot_id": bot.id, "method": method, "problem": problem})

    def _record(self, bot: Bot, method: str, parameters: Json, status: int, description: str) -> None:
        world = self._world
        world.counters[f"answers_{status}"] += 1
        world.calls.append(RecordedCall(world.clock.now(), bot.id, method, parameters, status, description))

    async def _faults_before(
        self, request: web.BaseRequest, bot: Bot, method: str, parameters: Json
    ) -> web.Response | None:
        faults, facts = self._world.faults, _facts(bot, method, parameters)
        if slow := faults.take(_SLOW, facts):
            await self._world.clock.sleep(slow.seconds)
        fault = faults.take(_INSTEAD, facts)
        if fault is None:
            return None
        if fault.kind == "hang":
            # aiohttp tells a handler of a lost client only by cancelling it, which would also undo slow work.
            while not gone(request):  # noqa: ASYNC110 - aiohttp does not tell of it
                await asyncio.sleep(0.05)
        if fault.kind != "error":
            return _reset(request)
        if fault.html:
            return gateway_page(fault.status, fault.retry_after)
        if fault.retry_after is not None:
            return _failure(too_many_requests(fault.retry_after))
        return _failure(ApiError(fault.status, fault.description or DEFAULT_DESCRIPTIONS.get(fault.status, "Error")))

    async def _download(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        token, _, file_path = path.removeprefix("/file/bot").partition("/")
        try:
            bot = self._authorised(token)
        except ApiError as error:
            return _failure(error)
        if self._world.faults.active and (faulty := await self._faults_before(request, bot, "download", {})):
            return faulty
        stored = self._world.files.by_path(bot.id, file_path)
        if stored is None:
            return _failure(NOT_FOUND)
        self._world.counters["downloads"] += 1
        if slow := self._world.faults.take(frozenset({"trickle"}), _facts(bot, "download", {})):
            content, kind = stored.upload.path.read_bytes(), "application/octet-stream"
            return await trickle(request, content, kind, self._world.clock, self._world.faults, slow)
        return web.FileResponse(stored.upload.path, headers={"Content-Type": "application/octet-stream"})


def _facts(bot: Bot, method: str, parameters: Json) -> dict[str, object]:
    chat = parameters.get("chat_id")
    return {"call": method, "account": bot.id, "to": chat, "bot": bot.id, "method": method, "chat": chat}


def _failure(error: ApiError) -> web.Response:
    headers = {}
    if "retry_after" in error.parameters:
        headers["Retry-After"] = str(error.parameters["retry_after"])
    return web.Response(
        body=orjson.dumps(error.envelope()),
        status=error.code,
        headers=headers,
        content_type="application/json",
    )


def _reset(request: web.BaseRequest) -> web.Response:
    """Close the connection without an answer; what is returned never leaves."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)
