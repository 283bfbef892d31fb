"""Writes `docs/provider-errors.md` from the channels' tables: what every known error of a provider comes to.

`make docs` runs it; `tests/test_provider_errors.py` fails where the document is not what it would write.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from services.email.api.errors import ENHANCED, WORDS
from services.telegram.api.errors import RULES as TELEGRAM
from services.tiktok.api.errors import CODES, MESSAGES
from services.whatsapp.api.error_codes import MEANINGS, Codes
from services.whatsapp.api.errors import CASES, RULES
from shared.contract.errors import ERRORS, ErrorClass, ErrorCode
from shared.contract.events import Health
from shared.runtime.accounts.health import PAUSED

DOCUMENT = Path(__file__).parents[1] / "docs" / "provider-errors.md"
_WAITS = {
    ErrorClass.RATE: "waits, goes on",
    ErrorClass.TRANSIENT: "is tried again",
    ErrorClass.UNCERTAIN: "`uncertain`",
}
_HEAD = """# What the providers' errors come to

Written by `make docs` from the tables of the channels (`services/<channel>/api/errors.py`); do not edit it by hand.

*What becomes of it*: a message that **ends** is `failed` (or `rejected`) with the code; what concerns the account or
the provider's speed **waits** and fails nothing. *The agent reads* the sentence and, behind the arrow, the remedy.
Where the provider says more (WhatsApp's details, TikTok's message), its words stand in the sentence's place, without
names, numbers and quoted text.
"""


def _becomes(code: ErrorCode, health: Health | None) -> str:
    if ERRORS[code].error_class is ErrorClass.ACCOUNT:
        return "the account waits" if health in PAUSED else "is tried again"
    return _WAITS.get(ERRORS[code].error_class, "ends")


def _reads(code: ErrorCode, sentence: str | None = None) -> str:
    fact = ERRORS[code]
    return f"{sentence or fact.sentence}{f' → {fact.remedy}' if fact.remedy else ''}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _table(*columns: str) -> Iterator[str]:
    yield _row(*columns)
    yield "|" + "---|" * len(columns)


def _named(codes: Codes) -> str:
    return f"{codes[0]} to {codes[-1]}" if isinstance(codes, range) else ", ".join(map(str, codes))


def _whatsapp() -> Iterator[str]:
    yield "\n## WhatsApp\n"
    yield from _table("code", "Meta says", "what becomes of it", "code of ours", "the agent reads")
    for codes, meaning in MEANINGS:
        rules = {RULES[code] for code in codes}
        assert len(rules) == 1, codes
        (rule,) = rules
        yield _row(_named(codes), meaning, _becomes(rule.code, rule.health), f"`{rule.code}`", _reads(rule.code))
    yield "\nBy context, before the table above:\n"
    yield from _table("code", "where", "what becomes of it", "code of ours", "the agent reads")
    for case in CASES:
        code = f"{case.code}, subcode {case.subcode}" if case.subcode is not None else str(case.code)
        where = "anything" if len(case.about) == len(type(next(iter(case.about)))) else ", ".join(
            sorted(about.value for about in case.about)
        )  # fmt: skip
        where += f"; its words have `{case.said.pattern}`" if case.said else ""
        rule = case.rule
        yield _row(code, where, _becomes(rule.code, rule.health), f"`{rule.code}`", _reads(rule.code))
    yield "\nA code that is not listed: in an answer, its HTTP status decides (401 is the account's credentials, 429"
    yield "its rate, 5xx the provider's trouble, any other `content_rejected`); in a failed status it is `undelivered`."


def _telegram() -> Iterator[str]:
    yield "\n## Telegram\n"
    yield "By HTTP status and a part of the description, without case; the first that fits counts.\n"
    yield from _table("status", "description has", "what becomes of it", "code of ours", "the agent reads")
    for rule in TELEGRAM:
        becomes = "holds already: a success" if rule.done else _becomes(rule.code, rule.health)
        if rule.fallback:
            becomes = f"goes another way ({rule.fallback.name.lower().replace('_', ' ')}), else {becomes}"
        pattern = f"`{rule.pattern}`" if rule.pattern else "anything else"
        reads = "" if rule.done else _reads(rule.code, rule.sentence)
        yield _row(str(rule.status), pattern, becomes, "" if rule.done else f"`{rule.code}`", reads)
    yield "\n429, and `retry after` in any description: waits as long as Telegram says. 5xx: `uncertain` for what makes"
    yield "a message, tried again for all else. Any other description: `content_rejected`, in Telegram's words without"
    yield "what may be personal."


def _tiktok() -> Iterator[str]:
    yield "\n## TikTok\n"
    yield "TikTok's list is not public: these are the codes that public adapters agree on.\n"
    yield from _table("code", "what becomes of it", "code of ours", "the agent reads")
    for code, pattern, rule in MESSAGES:
        said = f"{code}, message has `{pattern.pattern}`"
        yield _row(said, _becomes(rule.code, rule.health), f"`{rule.code}`", _reads(rule.code))
    for code, rule in sorted(CODES.items()):
        becomes = "`uncertain` for a message" if rule.unknown else _becomes(rule.code, rule.health)
        yield _row(str(code), becomes, f"`{rule.code}`", _reads(rule.code))
    yield "\nAny other code: `content_rejected` where it begins with 4, else the provider's trouble."


def _email() -> Iterator[str]:
    yield "\n## Email\n"
    yield "A mail server's reply: its enhanced code first, then its words. Up to the final dot nothing has been sent;"
    yield "after it every reply is certain, and only silence is `uncertain`.\n"
    yield from _table("reply", "what becomes of it", "code of ours", "the agent reads")
    for code, rule in ENHANCED.items():
        yield _row(code, _becomes(rule.code, rule.health), f"`{rule.code}`", _reads(rule.code))
    for pattern, rule in WORDS:
        said = f"5xx, its words have `{pattern.pattern}`"
        yield _row(said, _becomes(rule.code, rule.health), f"`{rule.code}`", _reads(rule.code))
    yield "\n5xx at the login, and 530, 534, 535, 538 anywhere: `account_reauth_required`, after a fresh token where"
    yield "the account logs in by token. 552 at MAIL: `file_too_large`; 550, 551 and 553 there without an enhanced"
    yield "code: the account may not send as itself. 500 to 504 and 555: `internal`. Any other 4xx, 421 and a"
    yield "connection that fails: tried again, of one recipient without holding the others back. Any other 5xx:"
    yield "`content_rejected`, in the server's words without what may be personal."


def document() -> str:
    """The whole document."""
    return "\n".join([_HEAD, *_whatsapp(), *_telegram(), *_tiktok(), *_email()]).replace("\n\n\n", "\n\n") + "\n"


if __name__ == "__main__":
    DOCUMENT.write_text(document())
