"""TikTok's return codes as a table, and the one mapper from an answer (or none) to a Failure.

The official list of return codes is not public; the sources of the meanings are named per row. A code that is not in
the table is mapped by its first digit.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from shared.channel import Failure
from shared.contract.errors import ErrorCode
from shared.contract.events import Health
from shared.policy.words import provider_words

TOKEN_REFUSED = frozenset({"40102", "40104", "40105"})

_DOCS = "https://business-api.tiktok.com/portal/docs?id=1737172488964097"
_ADAPTERS = "public adapters agree"
_ONE = "one public adapter"


class Rule(NamedTuple):
    """What a return code means. `unknown` says that a message may have gone out all the same."""

    code: ErrorCode
    source: str
    scope: str = "pair"
    retry_after: float | None = None
    health: Health | None = None
    unknown: bool = False


_RATE = Rule(ErrorCode.RATE_LIMITED, _ADAPTERS, scope="app")
_REAUTH = Rule(ErrorCode.ACCOUNT_REAUTH_REQUIRED, _ADAPTERS, scope="account", health=Health.REAUTH_REQUIRED)
_SYSTEM = Rule(ErrorCode.PROVIDER_UNAVAILABLE, _ADAPTERS, unknown=True)

CODES: dict[int, Rule] = {
    20001: Rule(ErrorCode.CONTENT_REJECTED, _ONE, unknown=True),  # "partly successful"
    40001: _REAUTH,  # no permission: the owner has to grant it again
    40002: Rule(ErrorCode.CONTENT_REJECTED, _ADAPTERS),
    40007: Rule(ErrorCode.RECIPIENT_UNKNOWN, _ONE),
    40016: _RATE,
    40064: Rule(ErrorCode.WINDOW_CLOSED, _ADAPTERS),
    40100: _RATE,
    40102: _REAUTH,
    40103: _REAUTH,
    40104: _REAUTH,
    40105: _REAUTH,
    40132: _RATE,
    40133: _RATE,
    40908: Rule(ErrorCode.FILE_TYPE_UNSUPPORTED, _ONE),
    50000: _SYSTEM,
    51065: _SYSTEM,
}

# The same code says different things; the message tells which. The first row that fits counts.
MESSAGES: tuple[tuple[int, re.Pattern[str], Rule], ...] = (
    (40001, re.compile(r"too (many|fast|frequent)|frequency|rate limit", re.I), _RATE),
    (40002, re.compile(r"referenc", re.I), Rule(ErrorCode.REPLY_TARGET_UNKNOWN, _ONE)),
    (40002, re.compile(r"conversation|recipient", re.I), Rule(ErrorCode.RECIPIENT_UNKNOWN, _DOCS)),
    (40007, re.compile(r"referenc", re.I), Rule(ErrorCode.REPLY_TARGET_UNKNOWN, _ONE)),
    (40007, re.compile(r"media|file", re.I), Rule(ErrorCode.FILE_UNAVAILABLE, _ONE)),
    (40064, re.compile(r"too fast|too (many|frequent)", re.I),
     Rule(ErrorCode.RATE_LIMITED, "Qiscus: a daily cap of conversations", scope="account", retry_after=300.0)),
    (40100, re.compile(r"minute|qpm", re.I), Rule(ErrorCode.RATE_LIMITED, _ONE, scope="app", retry_after=300.0)),
)  # fmt: skip


def _rule(code: int, message: str) -> Rule:
    for known, pattern, rule in MESSAGES:
        if known == code and pattern.search(message):
            return rule
    if code in CODES:
        return CODES[code]
    if 40000 <= code < 50000:
        return Rule(ErrorCode.CONTENT_REJECTED, "by its first digit")
    return Rule(ErrorCode.PROVIDER_UNAVAILABLE, "by its first digit", unknown=True)


def refusal(code: int, message: str, *, sends: bool, trace_id: str | None) -> Failure:
    """The failure of an answer with a return code other than 0. `sends`: the request makes a message."""
    rule = _rule(code, message)
    uncertain = sends and rule.unknown
    return Failure(
        ErrorCode.UNCERTAIN if uncertain else rule.code,
        certain=not uncertain,
        provider_code=str(code),
        detail=_readable(message),
        retry_after=rule.retry_after,
        scope=rule.scope,
        health=rule.health,
        trace_id=trace_id,
    )


def no_envelope(status: int, retry_after: float | None, *, sends: bool, trace_id: str | None) -> Failure:
    """The failure of an answer that is not TikTok's: a gateway's page, an empty body, a cut one."""
    if status == 429:
        return Failure(
            ErrorCode.RATE_LIMITED, provider_code="http_429", retry_after=retry_after, scope="app", trace_id=trace_id
        )
    # A gateway that refuses has not passed the request on; after 2xx and 5xx nobody knows.
    certain = not sends or 300 <= status < 500
    return Failure(
        ErrorCode.PROVIDER_UNAVAILABLE if certain else ErrorCode.UNCERTAIN,
        certain=certain,
        provider_code=f"http_{status}",
        retry_after=retry_after,
        trace_id=trace_id,
    )


def _readable(message: str) -> str | None:
    """TikTok's message without the values it may repeat."""
    shown = provider_words(message)
    return f"TikTok: {shown}" if shown else None
