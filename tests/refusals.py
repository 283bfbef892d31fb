"""Writes `docs/refusals.md`: what the connectors' own refusals say, field by field and channel by channel.

`make docs` runs it; `tests/test_refusals.py` fails where the document is not what it would write.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from shared.contract.sentences import INVALID
from shared.policy.judge import CANNOT

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "refusals.md"
_HEAD = """# What a refusal says

Written by `make docs` from `shared/contract/sentences.py`, `shared/policy/judge.py` and the golden files of the
channels; do not edit it by hand. All codes and what they mean: [errors.md](errors.md).

An error has a `code`, a `class` and a sentence (`detail`), often a `remedy`; where they are known the `field`, `limit`
and `actual`, `allowed` (content kinds that would be accepted now) and `params` (what the sentence names). An inbox that
speaks another language translates by the code and these.
"""


def table(*columns: str) -> Iterator[str]:
    yield row(*columns)
    yield "|" + "---|" * len(columns)


def row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _unable() -> Iterator[str]:
    yield from table("`params.what`", "sentence, of a channel called Pigeon")
    for what, cannot in sorted(CANNOT.items()):
        yield row(f"`{what}`", f"Pigeon {cannot}.")


def _wrong() -> Iterator[str]:
    yield from table("sentence, behind the field", "kinds of mistake")
    for sentence in dict.fromkeys(INVALID.values()):
        yield row(sentence, ", ".join(f"`{kind}`" for kind, said in INVALID.items() if said == sentence))


def examples() -> Iterator[tuple[str, dict[str, object], str]]:
    """Channel, error and golden of each refusal that the golden files show, each sentence once."""
    seen = set()
    for path in sorted((ROOT / "tests" / "channels").glob("*/outbound/*.calls.json")):
        for entry in json.loads(path.read_bytes()):
            refused = entry.get("refused")
            told = refused and (path.parts[-3], refused["code"], refused["detail"], refused.get("field"))
            if told and told not in seen:
                seen.add(told)
                yield path.parts[-3], refused, path.name.removesuffix(".calls.json")


def _shown() -> Iterator[str]:
    yield from table("channel", "code", "field", "sentence", "limit", "actual", "golden")
    for channel, refused, golden in examples():
        figures = [str(refused.get(name, "")) for name in ("limit", "actual")]
        field = f"`{refused['field']}`" if "field" in refused else ""
        yield row(channel, f"`{refused['code']}`", field, str(refused["detail"]), *figures, golden)


def document() -> str:
    """The whole document."""
    parts = [
        ("## What a channel cannot do (`unsupported_by_channel`)", _unable()),
        ("## What is wrong with a field (`invalid_command`)", _wrong()),
        ("## Examples from the golden files", _shown()),
    ]
    return "\n".join([_HEAD, *(line for head, table in parts for line in (head, "", *table, ""))])


if __name__ == "__main__":
    DOCUMENT.write_text(document())
