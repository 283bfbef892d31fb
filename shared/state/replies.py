"""Error replies of Valkey: which of them are about our call. All others are an outage, those of tomorrow included."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

# What a server says of a call that it would refuse whatever its state: another type than ours behind the key, keys of
# two slots, arguments or a script that it does not take. A reply names its kind in its first word, also when it comes
# out of a script (Valkey 7.2 and later, Redis 7 and later); `ERR` is of many kinds, told apart by how the text begins.
#
# Not among them: `ERR unknown command`. All commands are fixed in the code, and the tests call them, so that where one
# is unknown, the server is older than ours or has it renamed. Everybody waits for the same then, and `/readyz` says so.
_CODES = frozenset({"WRONGTYPE", "CROSSSLOT"})
_ERR = (
    "wrong number of arg",
    "syntax error",
    "unsupported option",
    "value is not",
    "invalid expire time",
    "command arguments must be",
    "number of keys can't",
    "error compiling script",
    "user_script:",  # the script's own error: a nil where a number is wanted, JSON that is none
)
_KIND = re.compile(r"ERR(?: [A-Za-z]+\b){0,3}|[A-Z0-9]+\b")


@cache
def coded(parser: Any) -> Any:
    """The parser, with errors that keep their whole reply: valkey-py drops the first word of those it knows."""

    class Coded(parser):  # type: ignore[misc]  # a class that is only known here
        @classmethod
        def parse_error(cls, response: str) -> Exception:
            error: Exception = super().parse_error(response)
            error.reply = response  # type: ignore[attr-defined]  # ours, for whoever catches it
            return error

    return Coded


def is_ours(error: Exception) -> bool:
    """Whether an error reply is about the call, and not about the server's state."""
    code, _, text = _reply(error).partition(" ")
    return code in _CODES or (code == "ERR" and text.lower().startswith(_ERR))


def kind_of(error: Exception) -> str:
    """What to call a failure: `OOM`, `ERR ACL failure in`; without a reply its type. Never a key or a value."""
    found = _KIND.match(_reply(error))
    return found[0] if found else type(error).__name__


def _reply(error: Exception) -> str:
    return str(getattr(error, "reply", ""))
