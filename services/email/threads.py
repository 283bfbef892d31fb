"""Threads: by which names a message belongs to one, and what is kept of it for the next message."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence

from services.email.subjects import same_subject

MOST_KEYS = 50
SUBJECT_LENGTH = 400  # characters of a subject in a note
CHAIN_LENGTH = 1400  # characters of the ids in a note
_MOST_REFERENCES = 20  # RFC 5322 §3.6.4 wants them all; the first and the newest are enough to find the thread

_ID = re.compile(r"[\x21-\x7e\u00a1-\U0010ffff]{1,900}")


def is_message_id(value: str) -> bool:
    """Whether a Message-ID without its brackets can stand in a header as it is: no blanks, no brackets, a line long."""
    return _ID.fullmatch(value) is not None and "@" in value and not ({"<", ">"} & set(value))


def key_of(message_id: str) -> str:
    """The name of a message among the keys of a thread: never its id, which may hold addresses."""
    return "m:" + hashlib.sha256(message_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def token_key(token: str) -> str:
    """The name of a thread whose reply address has this token."""
    return f"t:{token}"


def thread_keys(
    message_id: str | None, parent: str | None, references: Sequence[str], token: str | None = None
) -> tuple[str, ...]:
    """The keys of a message, strongest first; the last one is the root, after which a new thread is named.

    `references` as the header has them: the root first, the parent last.
    """
    parents = [parent] if parent else []
    root = next(iter(references), parent or message_id)
    named = [*parents, *reversed(references), *([message_id] if message_id else [])]
    keys = [token_key(token)] if token else []
    keys += dict.fromkeys(key_of(one) for one in named if one != root)
    return (*keys[: MOST_KEYS - 1], *([key_of(root)] if root else []))


def chain(references: Sequence[str], parent: str | None, longest: int | None = None) -> list[str]:
    """The References of an answer: those of its parent and the parent, the first and the newest of them.

    `longest`: characters that they may have together, with blanks between them.
    """
    known = [*dict.fromkeys(one for one in references if one != parent), *([parent] if parent else [])]
    kept = known if len(known) <= _MOST_REFERENCES else [known[0], *known[1 - _MOST_REFERENCES :]]
    while longest is not None and len(kept) > 1 and len(" ".join(kept)) > longest:
        del kept[1 if len(kept) > 2 else 0]
    return kept


def note_of(subject: str, message_id: str | None, references: Sequence[str]) -> dict[str, str]:
    """What `plan` gets of a thread: its subject as shown, its newest message, and the chain that leads to it."""
    note = {"subject": subject[:SUBJECT_LENGTH], "references": " ".join(_fitting(references))}
    return {**note, "message_id": message_id} if message_id else note


def _fitting(references: Iterable[str]) -> list[str]:
    kept = chain([one for one in references if len(one) <= CHAIN_LENGTH], None, CHAIN_LENGTH)
    return kept if len(" ".join(kept)) <= CHAIN_LENGTH else []


def references_of(note: Mapping[str, str]) -> list[str]:
    """The chain in a note."""
    return [one for one in note.get("references", "").split(" ") if is_message_id(one)]


def topic_of(subject: str) -> str:
    """What tells whether a thread is still about the same: a digest of its subject, without `Re:` and its like."""
    return hashlib.sha256(same_subject(subject).encode("utf-8", "surrogatepass")).hexdigest()[:32]
