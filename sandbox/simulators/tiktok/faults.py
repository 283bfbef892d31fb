"""The shared faults, plus the way only this platform fails: HTTP 200 around a code that is not 0."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import ClassVar

from aiohttp import web
from pydantic import Field

from sandbox.simulators.common import Clock, Fault, gateway_page

from .errors import Code, Rejected

ON_CALLS = frozenset({"error", "refuse", "drop_answer", "hang", "slow"})

# Longer than any caller's patience; the connection closes afterwards.
HANG_S = 600.0


class CallFault(Fault):
    """A fault of a call or a delivery.

    `error` answers `code` in an envelope under `status`; without a code, a bare `status` of 400 and above, or
    with `html` a gateway's page under any status, 200 included. `where` knows `endpoint` (a name of the tables,
    `file` for a download link),
    `business_id` and `conversation_id`; of webhooks `event`, `business_id` and `conversation_id`.
    """

    least_status: ClassVar[int] = 200
    code: int | None = None
    status: int = Field(200, ge=200, le=599)


async def strike(fault: Fault, clock: Clock, closing: asyncio.Event) -> web.Response | None:
    """Let a fault happen before the work.

    Returns the answer to give instead of the work, None when the work goes on. Raises `Rejected` for a code and
    `ConnectionAbortedError` when the caller is to get no answer at all.
    """
    if fault.kind == "slow":
        await clock.sleep(fault.seconds)
    elif fault.kind == "hang":
        with suppress(TimeoutError):
            await asyncio.wait_for(closing.wait(), HANG_S)
        raise ConnectionAbortedError
    elif fault.kind == "refuse":
        raise ConnectionAbortedError
    elif fault.kind == "error":
        if fault.html:
            page = gateway_page(fault.status if fault.status >= 400 else 502, fault.retry_after)
            page.set_status(fault.status)
            return page
        code = fault.code if isinstance(fault, CallFault) else None
        if code is None and fault.status >= 400:
            return web.Response(status=fault.status)
        raise Rejected(code or Code.SYSTEM_ERROR, fault.description or "System error.", status=fault.status)
    return None
