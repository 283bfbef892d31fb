"""Writes `docs/errors.md`: every code of an error, for whoever shows or translates it.

`make docs` runs it; `tests/test_refusals.py` fails where the document is not what it would write.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from shared.contract.described import members_of
from shared.contract.errors import ERRORS, ErrorClass, error
from shared.contract.vocabularies import WAITS
from tests.refusals import row, table

DOCUMENT = Path(__file__).parents[1] / "docs" / "errors.md"
_HEAD = """# Errors, code by code

Written by `make docs` from `shared/contract/errors.py` and `shared/contract/vocabularies.py`; do not edit it by hand.

An error stands in statuses (`error`), in attachments that failed, in an account's health and in preflight's refusals;
its code alone stands in `reasons` of the conversation state. Branch on `code`; `class` says what it is about,
`retryable` whether the same command, sent again later, may succeed. `detail` and `remedy` are sentences in English,
for people.

**In another language** take the sentence from the code and fill in

- `limit` and `actual`, where the sentence has figures (in the unit it says);
- `params`: `channel`, the channel's name as people write it, where it is told, and those in the table;
- `field`, the command's field as a path, `retry_at` and `expires_at` (RFC 3339), and `allowed`, the kinds of content
  that would be accepted.

What a provider says is the `detail` of the errors that come from it, masked; its own code is `provider_code`
([which code becomes which](provider-errors.md)). What the connectors' own refusals say, field by field, is in
[refusals.md](refusals.md).
"""


def _codes() -> Iterator[str]:
    yield from table("code", "class", "retryable", "sentence", "with its figures", "`params`", "remedy")
    for code, fact in ERRORS.items():
        figures = error(code, limit=10, actual=12).detail if fact.figures else ""
        params = ", ".join(f"`{name}`" for name in fact.params)
        cells = (fact.sentence, figures, params, fact.remedy or "")
        yield row(f"`{code}`", fact.error_class, "yes" if fact.retryable else "no", *cells)


def _classes() -> Iterator[str]:
    meanings = members_of(ErrorClass)
    yield from table("class", "codes", "what the connector does")
    for about in ErrorClass:
        codes = ", ".join(f"`{code}`" for code, fact in ERRORS.items() if fact.error_class is about)
        yield row(f"`{about}`", codes, meanings.get(about, "The part ends, and its status says so."))


def _waits() -> Iterator[str]:
    yield from table("`why`", "the command waits because")
    for why, meaning in WAITS.items():
        yield row(f"`{why}`", meaning)


def document() -> str:
    """The whole document."""
    parts = [
        ("## The codes", _codes()),
        ("## The classes", _classes()),
        ("## Not errors: what a `deferred` command waits for", _waits()),
    ]
    return "\n".join([_HEAD, *(line for head, shown in parts for line in (head, "", *shown, ""))])


if __name__ == "__main__":
    DOCUMENT.write_text(document())
