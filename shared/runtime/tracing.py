"""W3C trace context: taken from a webhook or a record, carried on in record headers; and spans, where somebody wants
them.

Spans need the extra `tracing` and `TRACING_ENDPOINT`; `shared.runtime.spans` makes them. Without, nothing is made and
nothing is looked at: a trace is carried on as it came.
"""

from __future__ import annotations

import random
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from typing import Literal, ParamSpec, Protocol, TypeVar

STOP_SECONDS = 3.0
"""For sending what is left of the spans."""

Kind = Literal["server", "consumer", "client"]
P = ParamSpec("P")
T = TypeVar("T")

_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_NOTHING = nullcontext()


class Spans(Protocol):
    """Makes spans; the current one is that of the running task, and of the tasks it starts."""

    def span(
        self, name: str, kind: Kind, traceparent: str | None, attributes: Mapping[str, str | int]
    ) -> AbstractContextManager[object]:
        """A span that lasts as long as its block; without a `traceparent`, below the current one."""

    def current(self) -> str | None:
        """The trace context of the current span, None without one."""


class _Wanted:
    spans: Spans | None = None


def use(spans: Spans | None) -> None:
    """From now on these spans are made; None for none."""
    _Wanted.spans = spans


def wanted() -> bool:
    """Whether spans are made: for what would be costly to say of one."""
    return _Wanted.spans is not None


def span(
    name: str, kind: Kind, traceparent: str | None = None, attributes: Mapping[str, str | int] | None = None
) -> AbstractContextManager[object]:
    """A span around a block; nothing where nobody wants spans."""
    spans = _Wanted.spans
    return _NOTHING if spans is None else spans.span(name, kind, traceparent_of(traceparent), attributes or {})


def traced(kind: Kind, name_of: Callable[..., str]) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Awaitable[T]]]:
    """Decorate a coroutine function: each call is a span, which `name_of` names by the call's arguments."""

    def decorate(function: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        async def in_span(*args: P.args, **kwargs: P.kwargs) -> T:
            with span(name_of(*args, **kwargs), kind):
                return await function(*args, **kwargs)

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
            return function(*args, **kwargs) if _Wanted.spans is None else in_span(*args, **kwargs)

        return call

    return decorate


def onward(traceparent: str | None) -> str | None:
    """What the records that are written now carry: the current span, or what came where there are no spans."""
    spans = _Wanted.spans
    return traceparent if spans is None else spans.current() or traceparent


def traceparent_of(value: str | None) -> str | None:
    """The value when it is a trace context, None otherwise: what strangers send is not passed on unread."""
    return value if value and _TRACEPARENT.fullmatch(value) else None


def new_traceparent() -> str:
    """A new trace, not sampled: downstream decides."""
    return f"00-{random.getrandbits(128):032x}-{random.getrandbits(64):016x}-00"
