"""SMTP replies as a table, and the one mapper from a reply, or none, to a Failure.

The first digit says whether trying again may help (RFC 5321 §4.2), the enhanced code what it is about (RFC 3463), the
stage whom it concerns. How far codes can be believed was counted in collections of real bounces: 5.1.1 is an unknown
user in 82 of 89, 5.2.1 in 12 of 20, 5.0.0 in 9 of 51. Where a code says little, the words decide.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple

from shared.channel import Failure
from shared.contract.errors import ErrorCode
from shared.contract.events import Health
from shared.policy.words import provider_words


class Stage(StrEnum):
    """What the server was asked when it answered. Up to `data` nothing has been sent."""

    CONNECT = "connect"
    TLS = "tls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"  # before the mail, or in its middle
    DOT = "dot"  # after the final dot


class Rule(NamedTuple):
    """What a reply means. `retry_after` in seconds, `scope` as in `Failure`."""

    code: ErrorCode
    scope: str = "account"
    retry_after: float | None = None
    health: Health | None = None


_AWAY = Rule(ErrorCode.PROVIDER_UNAVAILABLE)
_TOO_FAST = Rule(ErrorCode.RATE_LIMITED, retry_after=60.0)
_LATER = Rule(ErrorCode.RATE_LIMITED, "pair", retry_after=60.0)  # this recipient: greylisted, too much mail at once
_FULL = Rule(ErrorCode.RATE_LIMITED, "pair", retry_after=900.0)
_REAUTH = Rule(ErrorCode.ACCOUNT_REAUTH_REQUIRED, health=Health.REAUTH_REQUIRED)
_SENDER = Rule(ErrorCode.ACCOUNT_DISCONNECTED, health=Health.DISCONNECTED)  # the account may not write as itself
_NOBODY = Rule(ErrorCode.RECIPIENT_UNKNOWN, "pair")
_UNDELIVERED = Rule(ErrorCode.UNDELIVERED, "pair")
_TOO_LARGE = Rule(ErrorCode.FILE_TOO_LARGE, "pair")
_REJECTED = Rule(ErrorCode.CONTENT_REJECTED, "pair")
_BUG = Rule(ErrorCode.INTERNAL, "pair")

# RFC 3463, RFC 4954 §6, RFC 7372, RFC 7505; Gmail's and Exchange Online's own.
ENHANCED: dict[str, Rule] = {
    "4.2.1": _LATER,  # Gmail: the recipient gets mail too fast
    "4.2.2": _FULL,
    "4.3.0": _AWAY,
    "4.3.1": _AWAY,
    "4.3.2": _AWAY,
    "4.4.1": _AWAY,
    "4.4.2": _AWAY,
    "4.5.3": _TOO_FAST,
    "4.7.0": _TOO_FAST,
    "4.7.1": _LATER,  # greylisting
    "4.7.28": _TOO_FAST,
    "4.7.500": _TOO_FAST,
    "5.1.1": _NOBODY,
    "5.1.2": _NOBODY,
    "5.1.3": _NOBODY,
    "5.1.6": _NOBODY,
    "5.1.7": _SENDER,
    "5.1.8": _SENDER,
    "5.1.10": _NOBODY,
    "5.2.2": _UNDELIVERED,
    "5.2.3": _TOO_LARGE,
    "5.3.4": _TOO_LARGE,
    "5.6.0": _REJECTED,
    "5.6.7": _NOBODY,  # an address in another script, and a server that knows none
    "5.7.8": _REAUTH,
    "5.7.9": _REAUTH,
    "5.7.11": _REAUTH,
    "5.7.25": _REJECTED,
    "5.7.26": _REJECTED,
    "5.7.54": _SENDER,
    "5.7.60": _SENDER,
    "5.7.509": _REJECTED,
}
_AUTH_CODES = frozenset({530, 534, 535, 538})
_SYNTAX = frozenset({500, 501, 502, 503, 504, 555})

# Where the code says little. The first row that fits counts.
WORDS: tuple[tuple[re.Pattern[str], Rule], ...] = (
    (re.compile(r"too (large|big)|size (limit|exceed)|exceeds? .{0,40}(size|limit)|message size", re.I), _TOO_LARGE),
    (re.compile(r"quota|mailbox (is )?full|over ?quota|insufficient storage|out of storage", re.I), _UNDELIVERED),
    (re.compile(r"(user|recipient|mailbox|account|address|customer)\b.{0,40}\b(unknown|not (found|exist|known|valid|"
                r"listed|here)|does ?n.t exist|does not exist|invalid|disabled|inactive|no longer|unavailable)|"
                r"(no such|unknown|invalid|no) (user|recipient|mailbox|account|address|person)|"
                r"(is|has been|was) (disabled|deactivated|suspended|closed)", re.I), _NOBODY),
)  # fmt: skip

_ENHANCED = re.compile(r"\s*([245]\.\d{1,3}\.\d{1,3})\b")


def enhanced_code(text: str) -> str | None:
    """The enhanced status code at the beginning of a reply's text (RFC 2034)."""
    found = _ENHANCED.match(text)
    return found[1] if found else None


def refusal(stage: Stage, code: int, text: str) -> Failure:
    """The failure of a reply that is not the one hoped for. It was surely not sent: the server has said so."""
    rule = _rule(stage, code, text)
    return Failure(
        rule.code,
        provider_code=_said(code, text),
        detail=_readable(text),
        retry_after=rule.retry_after,
        scope=rule.scope,
        health=rule.health,
    )


def _rule(stage: Stage, code: int, text: str) -> Rule:
    enhanced = enhanced_code(text)
    if stage is Stage.AUTH or code in _AUTH_CODES:
        # A temporary failure says nothing of the password, and neither does a server that knows no such method.
        return _REAUTH if 500 <= code < 600 and code not in (500, 502, 503, 504) else _AWAY
    if code == 421 or stage in (Stage.CONNECT, Stage.TLS):
        return _TOO_FAST if enhanced in ("4.7.0", "4.7.28") else _AWAY
    if 400 <= code < 500:
        return _temporary(stage, enhanced)
    if enhanced in ENHANCED and enhanced.startswith("5"):
        rule = ENHANCED[enhanced]
        return _REJECTED if rule is _REAUTH else rule
    if code in _SYNTAX:
        return _BUG
    if stage is Stage.MAIL:
        return _TOO_LARGE if code == 552 else _SENDER if code in (550, 551, 553) and not enhanced else _REJECTED
    for pattern, rule in WORDS:
        if pattern.search(text[:1000]):
            return rule
    return _NOBODY if code == 551 or (code == 553 and stage is Stage.RCPT) else _REJECTED


def _temporary(stage: Stage, enhanced: str | None) -> Rule:
    rule = ENHANCED.get(enhanced or "", _AWAY)
    if not (enhanced or "4").startswith("4"):
        rule = _AWAY
    # One recipient's server is no outage of the account's.
    return _LATER if stage is Stage.RCPT and rule is _AWAY else rule


def _said(code: int, text: str) -> str:
    """The reply's codes, out of a list that cannot grow: they become names of a metric's series."""
    basic = str(code) if 200 <= code < 600 else "odd"
    enhanced = enhanced_code(text)
    return f"{basic} {enhanced}" if enhanced in ENHANCED else basic


def _readable(text: str) -> str | None:
    """The reply without the addresses, names and texts it may repeat."""
    shown = provider_words(" ".join(text.split()))
    return f"The mail server: {shown}" if shown else None


def unreachable(stage: Stage) -> Failure:
    """No answer before the mail was sent, or a connection that ended: surely not sent."""
    detail = "No trusted encryption with the mail server: its certificate or protocol does not fit."
    told = detail if stage is Stage.TLS else None
    return Failure(ErrorCode.PROVIDER_UNAVAILABLE, provider_code=str(stage), scope="account", detail=told)


def busy() -> Failure:
    """All connections that the account may have are in use, and stay so: nothing is said of its server."""
    return Failure(ErrorCode.RATE_LIMITED, provider_code="busy", scope="account", retry_after=1.0)


def no_answer() -> Failure:
    """The final dot was sent and nothing came back."""
    return Failure(ErrorCode.UNCERTAIN, certain=False, provider_code=str(Stage.DOT), scope="account")


def misconfigured(detail: str) -> Failure:
    """The account's settings or credentials do not suffice."""
    return Failure(
        ErrorCode.ACCOUNT_DISCONNECTED,
        provider_code="settings",
        detail=detail,
        scope="account",
        health=Health.DISCONNECTED,
    )


def reauthorise(detail: str) -> Failure:
    """Only the owner of the account can help: a password, or consent, is no longer good."""
    return Failure(
        ErrorCode.ACCOUNT_REAUTH_REQUIRED,
        provider_code=str(Stage.AUTH),
        detail=detail,
        scope="account",
        health=Health.REAUTH_REQUIRED,
    )
