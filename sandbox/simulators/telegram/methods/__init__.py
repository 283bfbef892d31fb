"""The Bot API methods the simulator performs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from sandbox.simulators.telegram.methods import account, edits, media, messages
from sandbox.simulators.telegram.methods.call import Answer, Call

Handler = Callable[[Call], Awaitable[object]]

METHODS: Mapping[str, Handler] = {
    **account.HANDLERS,
    **edits.HANDLERS,
    **media.HANDLERS,
    **messages.HANDLERS,
}
"""Handlers by method name in lower case, as Telegram ignores case."""

__all__ = ["METHODS", "Answer", "Call", "Handler"]
