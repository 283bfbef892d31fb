"""Meta's error codes as data, and the one mapper for HTTP answers and for failed statuses.

Codes, classes and advice follow Meta's error-code page (12 December 2025), the pages on groups, business-scoped user
ids and Direct Send, and what pywa 4.5 adds. Some codes say different things by their subcode, by the call that they
answer or by their words (`CASES`). An unknown code is classed by its transport; in a failed status it is the
recipient's side, for a refusal of the content would have come with the answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from shared.channel import Failure
from shared.contract.errors import ErrorCode
from shared.contract.events import Health
from shared.policy.words import provider_words


class Kind(Enum):
    """What a code is about."""

    AUTH = "credentials"
    PERM = "permission or configuration"
    ACCT = "account or billing"
    RATE = "too fast"
    RETRY = "transient"
    RCPT = "this recipient"
    WIN = "window closed"
    CONTENT = "our payload, media or template"
    OPS = "management calls only"


class About(Enum):
    """What a refusal is about: the call that it answers, or the message whose status tells it."""

    MESSAGE = "a message"
    TEMPLATE = "a template message"
    UPLOAD = "an upload"
    NUMBER = "the number itself"
    MEDIA = "a received file"
    STATUS = "a failed status"


@dataclass(frozen=True, slots=True)
class Rule:
    """What a code means here. `retry_after` in seconds; `scope` and `health` as in Failure."""

    kind: Kind
    code: ErrorCode
    retry_after: float | None = None
    scope: str = "pair"
    health: Health | None = None


_HOUR = 3600.0

_AUTH = Rule(Kind.AUTH, ErrorCode.ACCOUNT_REAUTH_REQUIRED, scope="account", health=Health.REAUTH_REQUIRED)
# Not degraded: nothing of the account goes out until somebody has given the permission back.
_PERM = Rule(Kind.PERM, ErrorCode.ACCOUNT_DISCONNECTED, scope="account", health=Health.DISCONNECTED)
_BILLING = Rule(Kind.ACCT, ErrorCode.ACCOUNT_BILLING_BLOCKED, scope="account", health=Health.BILLING_BLOCKED)
_LOCKED = Rule(Kind.ACCT, ErrorCode.ACCOUNT_DISCONNECTED, scope="account", health=Health.DISCONNECTED)
_SPAM = Rule(Kind.RATE, ErrorCode.RATE_LIMITED, _HOUR, "account", Health.DEGRADED)
_APP_RATE = Rule(Kind.RATE, ErrorCode.RATE_LIMITED, 60.0, "app")
_ACCOUNT_RATE = Rule(Kind.RATE, ErrorCode.RATE_LIMITED, 60.0, "account")
_NUMBER_RATE = Rule(Kind.RATE, ErrorCode.RATE_LIMITED, 1.0, "account")
_PAIR_RATE = Rule(Kind.RATE, ErrorCode.RATE_LIMITED, 6.0, "pair")
_RETRY = Rule(Kind.RETRY, ErrorCode.PROVIDER_UNAVAILABLE)
_MAINTENANCE = Rule(Kind.RETRY, ErrorCode.PROVIDER_UNAVAILABLE, 60.0, "account")
_UNDELIVERED = Rule(Kind.RCPT, ErrorCode.UNDELIVERED)
_UNDELIVERABLE = Rule(Kind.RCPT, ErrorCode.RECIPIENT_UNKNOWN)
_HELD = Rule(Kind.RCPT, ErrorCode.QUOTA_EXHAUSTED)
_EXPIRED = Rule(Kind.RCPT, ErrorCode.EXPIRED)
_OPTED_OUT = Rule(Kind.RCPT, ErrorCode.OPTED_OUT)
_WINDOW = Rule(Kind.WIN, ErrorCode.WINDOW_CLOSED)
_CONTENT = Rule(Kind.CONTENT, ErrorCode.CONTENT_REJECTED)
_MEDIA = Rule(Kind.CONTENT, ErrorCode.FILE_TYPE_UNSUPPORTED)
_LARGE = Rule(Kind.CONTENT, ErrorCode.FILE_TOO_LARGE)
_NO_FILE = Rule(Kind.CONTENT, ErrorCode.FILE_UNAVAILABLE)
_TEMPLATE = Rule(Kind.CONTENT, ErrorCode.TEMPLATE_INVALID)
_PAUSED = Rule(Kind.CONTENT, ErrorCode.TEMPLATE_PAUSED)
_OPS = Rule(Kind.OPS, ErrorCode.UNSUPPORTED_BY_CHANNEL)

_ROWS: tuple[tuple[Iterable[int], Rule], ...] = (
    # Credentials and permission.
    ((0, 102, 190, 2500), _AUTH),
    ((3, 10, 131005), _PERM),
    (range(200, 300), _PERM),
    # Account, billing, policy.
    ((131042, 131044), _BILLING),
    ((33, 368, 131031, 131037, 131045, 133010), _LOCKED),
    ((131048, 131064), _SPAM),
    # Rates.
    ((4,), _APP_RATE),
    ((17, 32, 613, 80007), _ACCOUNT_RATE),
    ((130429,), _NUMBER_RATE),
    ((131056,), _PAIR_RATE),
    ((132069,), Rule(Kind.RATE, ErrorCode.RATE_LIMITED, 360.0, "pair")),  # a throttled Flow: 10 messages an hour
    # Transient. A Graph error means that the message was not accepted, whatever its HTTP status.
    ((1, 2, 131000, 131016, 133004, 134102), _RETRY),
    ((131057,), _MAINTENANCE),
    ((2494100,), Rule(Kind.RETRY, ErrorCode.PROVIDER_UNAVAILABLE, 300.0, "account")),
    ((134101,), Rule(Kind.RETRY, ErrorCode.PROVIDER_UNAVAILABLE, 600.0, "pair")),  # a new template, still syncing
    # Recipient.
    ((131020, 131021, 131026, 131030, 131041, 131062), _UNDELIVERABLE),
    ((131036,), _UNDELIVERED),  # at least one of the contact's devices did not get it
    ((137000,), Rule(Kind.RCPT, ErrorCode.IDENTITY_CHANGED)),
    ((130472, 131049), _HELD),
    ((130497,), Rule(Kind.RCPT, ErrorCode.UNSUPPORTED_BY_CHANNEL)),
    ((131050,), _OPTED_OUT),
    ((131043,), _EXPIRED),  # not delivered within its time to live
    # Window.
    ((131047,), _WINDOW),
    # Content.
    ((100, 131008, 131009, 131051, 131055, 132007, 132068, 134011, 135000), _CONTENT),
    ((139200, 2388318, 2388330), _CONTENT),  # Direct Send refused
    ((131053,), _MEDIA),
    ((131014, 131052), _NO_FILE),  # 131014: older versions, a link
    ((131063, 132000, 132001, 132005, 132008, 132012, 132018, 134100), _TEMPLATE),
    ((132015, 132016), _PAUSED),
    # What failed statuses said before the Cloud API had codes of its own: 470 is today's 131047.
    ((402,), _BILLING),
    ((408, 410), _EXPIRED),
    ((429, 1015), _NUMBER_RATE),
    ((430, 432, 433), _LOCKED),  # the certificate of our number
    ((500, 503, 1000, 1011, 1014, 1016), _RETRY),
    ((1005,), _PERM),
    ((470,), _WINDOW),
    ((471,), _SPAM),
    ((472,), _HELD),
    ((480,), Rule(Kind.RCPT, ErrorCode.IDENTITY_CHANGED)),
    ((1007, 1013, 1026), _UNDELIVERABLE),
    ((*range(2000, 2009), 2012), _TEMPLATE),
    # Inbound and management only.
    ((130501, 131060), _OPS),
    ((2200, 131059, 133000, 133005, 133006, 133008, 133009, 133015, 133016), _OPS),
    (range(131201, 131216), _OPS),
    (range(139000, 139005), _OPS),
    (range(139100, 139104), _OPS),
    (range(147001, 147006), _OPS),
    (range(200005, 200008), _OPS),
    ((2388001, 2388012, 2388019, 2388040, 2388047, 2388072, 2388073, 2388091, 2388092, 2388093, 2388103), _OPS),
    ((2388293, 2388299, 2593079, 2593085, 2593107, 2593108, 2593109), _OPS),
)

RULES: dict[int, Rule] = {code: rule for codes, rule in _ROWS for code in codes}


@dataclass(frozen=True, slots=True)
class Case:
    """A rule for a code where it has the subcode, is about this and says that; what is not given may be anything."""

    code: int
    rule: Rule
    subcode: int | None = None
    about: frozenset[About] = frozenset(About)
    said: re.Pattern[str] | None = None

    def fits(self, subcode: int | None, about: About, text: str) -> bool:
        return self.subcode in (None, subcode) and about in self.about and (self.said is None or self._says(text))

    def _says(self, text: str) -> bool:
        return self.said is not None and self.said.search(text) is not None


_MEDIA_ONLY = frozenset({About.MEDIA})
_OF_THE_NUMBER = frozenset(About) - _MEDIA_ONLY
_OF_A_TEMPLATE = frozenset({About.TEMPLATE})
_TOLD = frozenset({About.STATUS})
_NAMES_A_TEMPLATE = re.compile(r"\btemplates?\b", re.I)
_TOO_LARGE = re.compile(
    r"\btoo (?:big|large)\b|\b(?:size|limit)\b.{0,40}\bexceed|\bexceed.{0,40}\b(?:size|limit|maximum)\b", re.I
)
_WRONG_TYPE = re.compile(r"\b(?:mime|content|media|file)[ -]?type\b|\bunsupported (?:\w+ )?(?:format|codec)", re.I)
_LINK_FAILED = re.compile(r"web ?link|downloading media|\bhttp (?:status )?code\b|media ?url", re.I)

# The first that fits counts, before the code's own rule.
CASES: tuple[Case, ...] = (
    Case(33, _NO_FILE, about=_MEDIA_ONLY),
    Case(100, _NO_FILE, about=_MEDIA_ONLY),
    # "Object with ID … does not exist, cannot be loaded due to missing permissions": the object is our number.
    Case(100, _LOCKED, subcode=33, about=_OF_THE_NUMBER),
    Case(100, _MEDIA, about=frozenset({About.UPLOAD})),  # "Param file must be a file with one of the following types"
    *(Case(code, _TEMPLATE, about=_OF_A_TEMPLATE) for code in (100, 131008, 131009)),
    *(Case(code, _TEMPLATE, about=_TOLD, said=_NAMES_A_TEMPLATE) for code in (100, 131008, 131009)),
    # What was fetched and not taken is a matter of the file, also where the sentence names the link it was behind.
    Case(131053, _LARGE, said=_TOO_LARGE),
    Case(131053, _MEDIA, said=_WRONG_TYPE),
    Case(131053, _NO_FILE, said=_LINK_FAILED),
)

_CODE_PREFIX = re.compile(r"^\(#\d+\)\s*")


def failure_of(error: Mapping[str, Any], status: int | None = None, about: About = About.NUMBER) -> Failure:
    """The failure that a Graph error object means: of an HTTP answer (then with its `status`) or of a webhook."""
    code = _integer(error.get("code"))
    rule = _rule(code, error, about) or (_UNDELIVERED if about is About.STATUS else _by_transport(error, status))
    trace = error.get("fbtrace_id")
    return Failure(
        code=rule.code,
        provider_code=str(code) if code is not None else None,
        detail=_detail(error),
        retry_after=rule.retry_after,
        scope=rule.scope,
        health=rule.health,
        trace_id=trace if isinstance(trace, str) else None,
    )


def _rule(code: int | None, error: Mapping[str, Any], about: About) -> Rule | None:
    """What the tables say of a code; None for one that nobody has described."""
    if code is None:
        return None
    subcode, said = _integer(error.get("error_subcode")), "\n".join(_texts(error))
    case = next((case for case in CASES if case.code == code and case.fits(subcode, about, said)), None)
    return case.rule if case else RULES.get(code)


def answer_failure(status: int, body: bytes, about: About = About.NUMBER) -> Failure:
    """The failure of an HTTP answer with an error status.

    Only a Graph error object says what happened. Without one, a 4xx comes from something in between that did not pass
    the request on, and a 5xx leaves open whether the message went out.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    error = document.get("error") if isinstance(document, dict) else None
    if isinstance(error, dict):
        return failure_of(error, status, about)
    if status == 429:
        return Failure(ErrorCode.RATE_LIMITED, provider_code="429", retry_after=60.0, scope="account")
    if status >= 500:
        return Failure(ErrorCode.UNCERTAIN, certain=False, provider_code=str(status))
    return Failure(ErrorCode.PROVIDER_UNAVAILABLE, provider_code=str(status))


def is_authentication(failure: Failure) -> bool:
    """Whether Graph itself refused the credentials: to be believed only when it says so twice."""
    return failure.code is ErrorCode.ACCOUNT_REAUTH_REQUIRED


def nothing_sent(failure: Failure) -> Failure:
    """The failure of a call that sends no message: there is nothing to be uncertain about."""
    if failure.certain:
        return failure
    return Failure(ErrorCode.PROVIDER_UNAVAILABLE, provider_code=failure.provider_code, detail=failure.detail)


def scrubbed(text: str) -> str:
    """A sentence of Meta's without what identifies somebody."""
    return provider_words(_CODE_PREFIX.sub("", text))


def _integer(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    try:
        return int(value)
    except ValueError:
        return None


def _by_transport(error: Mapping[str, Any], status: int | None) -> Rule:
    if status == 401:
        return _AUTH
    if status == 429:
        return _ACCOUNT_RATE
    if (status is not None and status >= 500) or error.get("is_transient") is True:
        return _RETRY
    return _CONTENT


def _texts(error: Mapping[str, Any]) -> list[str]:
    """What the error says, the most precise first."""
    data = error.get("error_data")
    details = data.get("details") if isinstance(data, dict) else data
    found = (details, error.get("details"), error.get("message"), error.get("title"))
    return [text for text in found if isinstance(text, str) and text.strip()]


def _detail(error: Mapping[str, Any]) -> str | None:
    return next(map(scrubbed, _texts(error)), None)
