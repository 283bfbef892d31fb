"""`/_sim/`, the control interface of every simulator: the same operations, called and refused in the same way.

An operation has a method and a path. Its arguments are the fields of the query, of a JSON object or of a form, and what
stands for `{name}` in the path; the parts of a form that have a file name are stored first and arrive as what the
simulator made of them. The answer is the result as JSON, or `{"error": sentence}` with 400 (makes no sense), 404
(nothing of that name) or 409 (is so already, or taken). `GET /_sim/` lists the operations.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import unquote

import orjson
from aiohttp import BodyPartReader, web
from pydantic import ConfigDict, ValidationError, validate_call

from sandbox.simulators.common import Behaviour, Clock, ControlError, Fault, Faults, json_response
from sandbox.simulators.feed import Feed

PREFIX = "/_sim/"
SHOWN = 100  # of a long list, unless `limit` says otherwise

Work = Callable[..., Any]
Row = dict[str, Any]


class FileStore(Protocol):
    """Takes in the files of a form."""

    async def store(self, part: BodyPartReader) -> Any: ...

    def discard(self, stored: Any) -> None:
        """Give back a file that nobody came to use."""


class Simulated(Protocol):
    """What the operations that all simulators have are made of.

    Rows of `sent` have `id`, `account`, `person`, `kind`, `text` and `at` (Unix seconds), of `calls` `at`, `call`,
    `arguments` and `status` (0: no answer was given), of `violations` `call` and `problem`; a simulator may add more.
    """

    @property
    def clock(self) -> Clock: ...

    @property
    def faults(self) -> Faults[Any]: ...

    @property
    def behaviour(self) -> Behaviour: ...

    @property
    def feed(self) -> Feed: ...

    def forget(self) -> None:
        """Forget calls, violations and what was sent."""

    def state(self) -> Row: ...

    def person(self, person: str) -> str:
        """What the rows call somebody. Raises LookupError where nobody is meant."""

    def sent(self) -> Iterable[Row]: ...

    def calls(self) -> Iterable[Row]: ...

    def violations(self) -> Iterable[Row]: ...


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that can be asked for; `does` is what its docstring begins with."""

    method: str
    path: str
    work: Work
    does: str
    arguments: Mapping[str, str]
    takes_request: bool

    @classmethod
    def of(cls, name: str, work: Work) -> Operation:
        """`name` is `METHOD path`; a parameter called `request` gets the request itself, its body unread."""
        method, _, path = name.partition(" ")
        parameters = dict(inspect.signature(work).parameters)
        takes_request = parameters.pop("request", None) is not None
        checked = validate_call(config=ConfigDict(arbitrary_types_allowed=True))(work)
        does = (inspect.getdoc(work) or "").partition("\n\n")[0].replace("\n", " ")
        return cls(method, path, checked, does, {n: _shown(p) for n, p in parameters.items()}, takes_request)

    def match(self, path: str) -> dict[str, str] | None:
        """What stands for the names in the path, or None where it is another path."""
        wanted, given = self.path.split("/"), path.split("/")
        if len(wanted) != len(given):
            return None
        found = {name[1:-1]: unquote(value) for name, value in zip(wanted, given, strict=True) if name[:1] == "{"}
        fits = all(name[:1] == "{" or name == value for name, value in zip(wanted, given, strict=True))
        return found if fits else None


def _shown(parameter: inspect.Parameter) -> str:
    """A parameter's type and default, as they are written."""
    if parameter.kind is parameter.VAR_KEYWORD:
        return "more, as the kind has them"
    given = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
    return f"{parameter.annotation}{given}"


class Control:
    """Answers everything under `/_sim/`: what all simulators have, and this one's `own` operations.

    `refusals` are errors of the provider that say why something makes no sense; they are answered 400.
    """

    def __init__(
        self,
        simulated: Simulated,
        own: Mapping[str, Work],
        files: FileStore,
        refusals: tuple[type[Exception], ...] = (),
    ) -> None:
        self._files = files
        # ValidationError and JSONDecodeError are ValueErrors.
        self._refusals: tuple[type[Exception], ...] = (ControlError, LookupError, ValueError, TypeError, *refusals)
        common = _Common(simulated, self._index).operations()
        self.operations = [Operation.of(name, work) for name, work in {**common, **own}.items()]

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request. What it stored is discarded when it is refused."""
        stored: list[Any] = []
        try:
            operation, named = self._find(request)
            body = {"request": request} if operation.takes_request else await self._read(request, stored)
            result = operation.work(**{**request.query, **body, **named})
            if inspect.isawaitable(result):
                result = await result
        except self._refusals as error:
            for file in stored:
                self._files.discard(file)
            return json_response({"error": _sentence(error)}, _status(error))
        return result if isinstance(result, web.StreamResponse) else json_response(result)

    def _find(self, request: web.BaseRequest) -> tuple[Operation, dict[str, str]]:
        path = request.raw_path.partition("?")[0].removeprefix(PREFIX.rstrip("/")).strip("/")
        for operation in self.operations:
            if operation.method == request.method and (named := operation.match(path)) is not None:
                return operation, named
        raise ControlError(404, f"no such operation; GET {PREFIX} lists them")

    async def _read(self, request: web.BaseRequest, stored: list[Any]) -> dict[str, Any]:
        """What the body says; files that came with it are added to `stored`."""
        if request.content_type == "multipart/form-data":
            return await self._read_form(request, stored)
        body = await request.read()
        return _object(body) if body else {}

    async def _read_form(self, request: web.BaseRequest, stored: list[Any]) -> dict[str, Any]:
        """A part `arguments` is a JSON object of them; several files of one name are a list."""
        arguments: dict[str, Any] = {}
        files: dict[str, list[Any]] = {}
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader) or part.name is None:
                continue
            if part.filename is not None:
                stored.append(await self._files.store(part))
                files.setdefault(part.name, []).append(stored[-1])
            elif part.name == "arguments":
                arguments |= _object(await part.read())
            else:
                arguments[part.name] = await part.text()
        return arguments | {name: given[0] if len(given) == 1 else given for name, given in files.items()}

    def _index(self) -> list[Row]:
        """What can be asked for here, with the arguments it takes."""
        return [
            {"method": o.method, "path": PREFIX + o.path, "does": o.does, "arguments": o.arguments}
            for o in self.operations
        ]


class _Common:
    """The operations that every simulator has."""

    def __init__(self, simulated: Simulated, index: Work) -> None:
        self._simulated = simulated
        self._index = index
        self._behaviour_at_start = simulated.behaviour.model_dump()

    def operations(self) -> dict[str, Work]:
        return {
            "GET ": self._index,
            "GET state": self.state,
            "POST reset": self.reset,
            "GET behaviour": self.behaviour,
            "PATCH behaviour": self.behave,
            "GET faults": self.faults,
            "POST faults": self.fail,
            "DELETE faults": self.succeed,
            "GET clock": self.now,
            "POST clock": self.advance,
            "GET calls": self.calls,
            "GET violations": self.violations,
            "GET sent": self.sent,
            "GET repeats": self.repeats,
            "GET events": self.events,
        }

    def state(self) -> Row:
        """Who exists, the settings, and totals."""
        return self._simulated.state()

    def reset(self) -> None:
        """End the faults, behave as at the start, and forget calls, violations and what was sent.

        Accounts, people and what they said to each other stay.
        """
        self._simulated.faults.clear()
        self._simulated.behaviour.change(**self._behaviour_at_start)
        self._simulated.forget()

    def behaviour(self) -> Row:
        """How the provider behaves while nothing fails."""
        return self._simulated.behaviour.model_dump()

    def behave(self, **changes: Any) -> Row:
        """Change some of it; all or nothing."""
        self._simulated.behaviour.change(**changes)
        return self.behaviour()

    def faults(self) -> list[Fault]:
        """The faults that are planned and not used up."""
        return list(self._simulated.faults.active)

    def fail(self, kind: str, **settings: Any) -> Fault:
        """Plan a fault."""
        fault: Fault = self._simulated.faults.add(kind, **settings)
        return fault

    def succeed(self) -> None:
        """End all faults."""
        self._simulated.faults.clear()

    def now(self) -> Row:
        """The provider's time, Unix seconds, and how many times faster than the wall it passes."""
        clock = self._simulated.clock
        return {"now": clock.now(), "scale": clock.scale}

    def advance(self, advance: float) -> Row:
        """Let so many seconds pass at once: windows close, links expire, retries fall due."""
        if not 0 <= advance < float("inf"):
            raise ControlError(400, "advance must be a number of seconds")
        self._simulated.clock.advance(advance)
        return self.now()

    def calls(self, call: str | None = None, limit: int = SHOWN) -> list[Row]:
        """The newest requests to the provider's API as they were understood, oldest first."""
        return _last((row for row in self._simulated.calls() if call in (None, row["call"])), limit)

    def violations(self, limit: int = SHOWN) -> list[Row]:
        """Requests that break the provider's rules: what a correct client leaves empty."""
        return _last(self._simulated.violations(), limit)

    def sent(self, account: str | None = None, person: str | None = None, limit: int = SHOWN) -> Row:
        """How many messages reached people through the API, and the newest of them, oldest first."""
        person = None if person is None else self._simulated.person(person)
        found = [
            row
            for row in self._simulated.sent()
            if account in (None, row["account"]) and person in (None, row["person"])
        ]
        return {"count": len(found), "messages": _last(found, limit)}

    def repeats(self) -> list[Row]:
        """Texts that a person got more than once: what stays empty when nothing is sent twice."""
        times = Counter((row["account"], row["person"], row["text"]) for row in self._simulated.sent() if row["text"])
        repeated = ((key, count) for key, count in times.items() if count > 1)
        return [{"account": a, "person": p, "text": text, "times": count} for (a, p, text), count in repeated]

    async def events(self, request: web.BaseRequest, after: int | None = None, wait: float = 25) -> Any:
        """Changes as they happen: server-sent events where the request accepts them, else what came `after`.

        Where nothing came yet it is waited for, at most so many seconds.
        """
        return await self._simulated.feed.serve(request, after, wait)


def _last(rows: Iterable[Row], limit: int) -> list[Row]:
    found = list(rows)
    return found[-limit:] if limit > 0 else []


def _object(body: bytes) -> dict[str, Any]:
    fields = orjson.loads(body)
    if not isinstance(fields, dict):
        raise ControlError(400, "the arguments must be a JSON object")
    return fields


def _status(error: Exception) -> int:
    if isinstance(error, ControlError):
        return error.status
    return 404 if isinstance(error, LookupError) else 400


def _sentence(error: Exception) -> str:
    if isinstance(error, ValidationError):
        found = error.errors(include_url=False)
        return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in found)
    return str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error) or type(error).__name__


def operations_of(target: object, prefix: str, leave: Iterable[str] = ()) -> dict[str, Work]:
    """Every public method of an object as an operation `POST <prefix>/<method>`, but those that begin as in `leave`."""
    methods = inspect.getmembers(target, inspect.ismethod)
    hidden = ("_", *leave)
    return {f"POST {prefix}/{name}": method for name, method in methods if not name.startswith(hidden)}
