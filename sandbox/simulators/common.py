"""What every provider simulator shares: the clock, planned faults, hidden markers and HTTP answers."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar, Generic, Literal, Self, TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, model_validator

_TAG = 0xE0000  # Unicode "tag" characters: no width, so a person never sees them


def mark(text: str, marker: str) -> str:
    """Append `marker` (printable ASCII) to `text` invisibly; it costs one code point a character."""
    return text + "".join(chr(_TAG + ord(char)) for char in marker)


def marker_of(text: str) -> str:
    """The marker hidden in `text` by `mark`, or the empty string."""
    if not text or text.isascii():
        return ""
    return "".join(chr(ord(char) - _TAG) for char in text if _TAG + 32 <= ord(char) < _TAG + 127)


@dataclass(slots=True, eq=False)
class Timer:
    """A callback due at a clock time; `cancel` is safe at any moment."""

    clock: Clock
    due: float
    callback: Callable[[], object]
    handle: asyncio.TimerHandle | None = None

    def cancel(self) -> None:
        """Forget the callback."""
        self.clock.live.discard(self)
        if self.handle is not None:
            self.handle.cancel()


class Clock:
    """Unix time that runs `scale` times as fast as the wall; `scale=0` stands still until `advance`."""

    def __init__(self, scale: float = 1.0, start: float | None = None) -> None:
        self.scale = scale
        self._start = time.time() if start is None else start
        self._began = time.monotonic()
        self.live: set[Timer] = set()

    def now(self) -> float:
        """Unix time in seconds."""
        return self._start + (time.monotonic() - self._began) * self.scale

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Call `callback` when `seconds` of clock time have passed."""
        timer = Timer(self, self.now() + seconds, callback)
        self.live.add(timer)
        self._arm(timer)
        return timer

    def advance(self, seconds: float) -> None:
        """Jump ahead and run what falls due, in order."""
        self._start += seconds
        for timer in sorted(self.live, key=lambda timer: timer.due):
            if timer.handle is not None:
                timer.handle.cancel()
            if timer.due <= self.now():
                self._fire(timer)
            else:
                self._arm(timer)

    async def sleep(self, seconds: float) -> None:
        """Wait `seconds` of clock time."""
        done = asyncio.Event()
        timer = self.call_later(seconds, done.set)
        try:
            await done.wait()
        finally:
            timer.cancel()

    @asynccontextmanager
    async def timeout(self, seconds: float) -> AsyncIterator[None]:
        """Raise `TimeoutError` when the block takes longer than `seconds` of clock time."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(None) as scope:
            timer = self.call_later(seconds, lambda: scope.reschedule(loop.time()))
            try:
                yield
            finally:
                timer.cancel()

    def _arm(self, timer: Timer) -> None:
        if self.scale:
            delay = max(0.0, timer.due - self.now()) / self.scale
            timer.handle = asyncio.get_running_loop().call_later(delay, self._fire, timer)

    def _fire(self, timer: Timer) -> None:
        if timer in self.live:
            self.live.discard(timer)
            timer.callback()


class Fault(BaseModel):
    """One planned misbehaviour, for the calls or deliveries that match every key of `where`.

    `error` answers `status` instead of doing the work (`html` as a gateway would, also under 200); `refuse` resets the
    connection before the work, `drop_answer` after it; `hang` never answers; `slow` answers `seconds` later; `trickle`
    gives of a file that is downloaded a byte every `seconds`; `unread` leaves a body with a file unread and never
    answers. Of
    webhooks, `duplicate` delivers twice and `reorder` holds a delivery back for `seconds`, letting other lanes (and
    with `within_lane` the next of its own lane) overtake it. `count` is how often it may still fire.
    """

    model_config = ConfigDict(extra="forbid")
    least_status: ClassVar[int] = 400

    kind: Literal["error", "refuse", "drop_answer", "hang", "slow", "trickle", "unread", "duplicate", "reorder"]
    where: dict[str, int | str] = {}
    probability: float = Field(1.0, ge=0, le=1)
    count: int | None = Field(None, ge=1)
    seconds: float = Field(1.0, ge=0)
    status: int = Field(500, ge=200, le=599)
    description: str = ""
    retry_after: int | None = Field(None, ge=0)
    html: bool = False
    within_lane: bool = False

    @model_validator(mode="after")
    def _answers_an_error(self) -> Self:
        if self.status < self.least_status and not self.html:
            raise ValueError("an error has a status of 400 and above; a gateway's page may have any")
        return self


MAX_FAULTS = 1_000

F = TypeVar("F", bound=Fault)


class Faults(Generic[F]):
    """The active faults of one simulator, asked on every call and every delivery; `made` is its kind of fault."""

    def __init__(self, made: type[F], seed: int = 0) -> None:
        self.active: list[F] = []
        self._made = made
        self._random = random.Random(seed)

    def add(self, kind: str, **settings: Any) -> F:
        """Plan a fault; raises ValueError (of `pydantic` when the settings make no sense)."""
        if len(self.active) >= MAX_FAULTS:
            raise ValueError(f"{MAX_FAULTS} faults are planned already")
        fault = self._made.model_validate({"kind": kind, **settings})
        self.active.append(fault)
        return fault

    def clear(self) -> None:
        """Back to good behaviour."""
        self.active.clear()

    def take(self, kinds: frozenset[str], facts: Mapping[str, object]) -> F | None:
        """The first fault of `kinds` that matches and fires; one firing is used up."""
        for fault in self.active:
            if fault.kind not in kinds:
                continue
            if any(str(facts.get(name)) != str(value) for name, value in fault.where.items()):
                continue
            if fault.probability < 1 and self._random.random() >= fault.probability:
                continue
            if fault.count is not None:
                fault.count -= 1
                if fault.count == 0:
                    self.active.remove(fault)
            return fault
        return None


class Behaviour(BaseModel):
    """How a provider behaves while nothing fails; a simulator has fields of its own, and none of them is fixed."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    def change(self, **settings: Any) -> None:
        """Set some of the fields, all or none; raises pydantic.ValidationError."""
        checked = type(self).model_validate({**self.model_dump(), **settings})
        for name in settings:
            setattr(self, name, getattr(checked, name))


class ControlError(Exception):
    """The control interface was asked for something that makes no sense; `status` is the HTTP status."""

    def __init__(self, status: int, problem: str) -> None:
        super().__init__(problem)
        self.status = status


def said(text: str, file: object | None) -> None:
    """Raises ControlError where a person would write nothing at all."""
    if not text and file is None:
        raise ControlError(400, "text is missing")


async def trickle(
    request: web.BaseRequest, content: bytes, content_type: str, clock: Clock, faults: Faults[Any], fault: Fault
) -> web.StreamResponse:
    """Answer at once with the head, then with a byte every `seconds` of clock time; the rest once the fault ends."""
    response = web.StreamResponse(headers={"Content-Type": content_type, "Content-Length": str(len(content))})
    await response.prepare(request)
    for at in range(len(content)):
        if gone(request):
            break
        if fault not in faults.active:
            await response.write(content[at:])
            break
        await response.write(content[at : at + 1])
        await clock.sleep(fault.seconds)
    return response


async def leave_unread(request: web.BaseRequest, faults: Faults[Any], fault: Fault) -> web.Response:
    """Do nothing with a request until its client gives up or the fault ends; what is returned never leaves."""
    # aiohttp tells a handler of a lost client only by cancelling it, which would also undo slow work.
    while not gone(request) and fault in faults.active:  # noqa: ASYNC110 - nobody tells of either
        await asyncio.sleep(0.05)
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


def gone(request: web.BaseRequest) -> bool:
    """Whether nobody is there any more to be answered."""
    return request.transport is None or request.transport.is_closing()


GATEWAY_PAGE = "<html>\r\n<head><title>{0}</title></head>\r\n<body><center><h1>{0}</h1></center></body>\r\n</html>"


def gateway_page(status: int, retry_after: int | None = None) -> web.Response:
    """The HTML a front proxy answers with when the service behind it does not."""
    page = GATEWAY_PAGE.format(f"{status} {HTTPStatus(status).phrase}")
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return web.Response(text=page, status=status, content_type="text/html", headers=headers)


def json_response(data: object, status: int = 200) -> web.Response:
    """A JSON answer of the control interface; what JSON does not know is written as text."""
    body = orjson.dumps(data, default=_plain, option=orjson.OPT_NON_STR_KEYS)
    return web.Response(body=body, status=status, content_type="application/json")


def _plain(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump()
    return list(value) if isinstance(value, set | frozenset | deque) else str(value)
