"""The control interface over HTTP, under `/_sim/`.

`POST /_sim/setup/<operation>` and `POST /_sim/customer/<operation>` call the operations of `Setup` and `Customer`
with a JSON object as arguments, or with multipart: JSON in the part `arguments`, files in `file`, `files` or
`photo`. Everything else is in `Control.routes`. Errors are `{"error": …}` with 400, 404 or 409.

Keys of a fault's `where`: `bot`, `chat` and `method` (`download` for files) of calls; `bot`, `chat` and `kind` of
updates on their way to a webhook.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import BodyPartReader, web
from pydantic import ValidationError, validate_call

from sandbox.simulators.common import ControlError, json_response
from sandbox.simulators.telegram.bodies import TooLarge, Upload, discard_uploads
from sandbox.simulators.telegram.customer import Customer
from sandbox.simulators.telegram.errors import ApiError
from sandbox.simulators.telegram.model import Conversation
from sandbox.simulators.telegram.setup import Setup
from sandbox.simulators.telegram.view import show_call, show_conversation, show_state
from sandbox.simulators.telegram.world import World

MAX_CUSTOMER_FILE = 2_000_000_000  # bytes: what people may send each other
_UPLOADS = ("file", "photo")

Route = Callable[[web.BaseRequest], Awaitable[Any]]


class Control:
    """Answers `/_sim/` requests."""

    def __init__(self, world: World, setup: Setup, customer: Customer) -> None:
        self._world = world
        self.operations = {
            **{f"setup/{name}": operation for name, operation in _public(setup)},
            **{f"customer/{name}": operation for name, operation in _public(customer)},
        }
        self.routes: dict[tuple[str, str], Route] = {
            ("GET", "state"): self._state,
            ("GET", "conversation"): self._conversation,
            ("GET", "sent"): self._sent,
            ("GET", "calls"): self._calls,
            ("DELETE", "calls"): self._forget_calls,
            ("GET", "violations"): self._violations,
            ("DELETE", "violations"): self._forget_violations,
            ("POST", "faults"): self._add_fault,
            ("DELETE", "faults"): self._clear_faults,
            ("POST", "clock"): self._advance,
            ("GET", "file"): self._file,
            ("GET", "events"): world.feed.serve,
        }

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request of the control interface."""
        name = request.path.removeprefix("/_sim/")
        arguments: dict[str, Any] = {}
        try:
            if (route := self.routes.get((request.method, name))) is not None:
                result = await route(request)
            elif request.method == "POST" and name in self.operations:
                arguments = await self._arguments(request)
                result = self.operations[name](**arguments)
                if inspect.isawaitable(result):
                    result = await result
            else:
                raise ControlError(404, "no such operation")
        except (ControlError, ValidationError, ApiError, TooLarge, ValueError) as error:
            discard_uploads(arguments)
            status = error.status if isinstance(error, ControlError) else 400
            return json_response({"error": _problem(error)}, status)
        return result if isinstance(result, web.StreamResponse) else json_response({"result": result})

    async def _arguments(self, request: web.BaseRequest) -> dict[str, Any]:
        if request.content_type != "multipart/form-data":
            body = await request.read()
            arguments = orjson.loads(body) if body else {}
        else:
            arguments = await self._multipart_arguments(request)
        if not isinstance(arguments, dict):
            raise ControlError(400, "the arguments must be a JSON object")
        return arguments

    async def _multipart_arguments(self, request: web.BaseRequest) -> dict[str, Any]:
        arguments: dict[str, Any] = {}
        files: list[Upload] = []
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader):
                continue
            if part.name == "arguments":
                arguments |= orjson.loads(await part.read())
                continue
            mime_type = part.headers.get("Content-Type", "")
            upload = await self._world.spool.store(part, part.filename or "", mime_type, MAX_CUSTOMER_FILE)
            if part.name in _UPLOADS:
                arguments[part.name] = upload
            else:
                files.append(upload)
        return {**arguments, "files": files} if files else arguments

    def _find(self, request: web.BaseRequest) -> Conversation:
        query = request.query
        key = (_number(request, "bot_id"), _number(request, "chat_id"), query.get("connection_id") or None)
        found = self._world.conversations.get(key)
        if found is None:
            raise ControlError(404, "no such conversation")
        return found

    async def _state(self, _request: web.BaseRequest) -> Any:
        return show_state(self._world)

    async def _conversation(self, request: web.BaseRequest) -> Any:
        return show_conversation(self._world, self._find(request))

    async def _sent(self, request: web.BaseRequest) -> Any:
        chat_id = _number(request, "chat_id")
        return [
            sent._asdict()
            for (_, chat, _), conversation in self._world.conversations.items()
            if chat == chat_id
            for sent in conversation.sent
        ]

    async def _calls(self, request: web.BaseRequest) -> Any:
        method = request.query.get("method", "").lower()
        calls = [call for call in self._world.calls if not method or call.method.lower() == method]
        return [show_call(call) for call in calls]

    async def _forget_calls(self, _request: web.BaseRequest) -> None:
        self._world.calls.clear()

    async def _violations(self, _request: web.BaseRequest) -> Any:
        return list(self._world.violations)

    async def _forget_violations(self, _request: web.BaseRequest) -> None:
        self._world.violations.clear()

    async def _add_fault(self, request: web.BaseRequest) -> Any:
        settings = orjson.loads(await request.read())
        if not isinstance(settings, dict):
            raise ControlError(400, "a fault is a JSON object")
        return self._world.faults.add(**{"kind": "", **settings}).model_dump()

    async def _clear_faults(self, _request: web.BaseRequest) -> None:
        self._world.faults.clear()

    async def _advance(self, request: web.BaseRequest) -> Any:
        settings = orjson.loads(await request.read())
        seconds = settings.get("advance") if isinstance(settings, dict) else None
        if not isinstance(seconds, int | float) or seconds < 0:
            raise ControlError(400, "advance must be a number of seconds")
        self._world.clock.advance(seconds)
        return {"now": self._world.clock.now()}

    async def _file(self, request: web.BaseRequest) -> web.StreamResponse:
        stored = self._world.files.get(request.query.get("file_id"))
        if stored is None:
            raise ControlError(404, "no such file")
        return web.FileResponse(stored.upload.path, headers={"Content-Type": stored.mime_type})


def _problem(error: Exception) -> str:
    if isinstance(error, ValidationError):
        found = error.errors(include_url=False)
        return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in found)
    return str(error) or "too large"


def _public(target: Setup | Customer) -> list[tuple[str, Callable[..., Any]]]:
    methods = inspect.getmembers(target, inspect.ismethod)
    return [(name, validate_call(m)) for name, m in methods if not name.startswith(("_", "find_"))]


def _number(request: web.BaseRequest, name: str) -> int:
    try:
        return int(request.query.get(name, ""))
    except ValueError:
        raise ControlError(400, f"{name} must be an integer") from None
