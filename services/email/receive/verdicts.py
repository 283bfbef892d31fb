"""Whether a bounce is for good: by the enhanced status code where it says so, else by what the mail system wrote.

Only a recipient who does not exist is hard. A full mailbox, a refused sender, a suspicion of spam may be over tomorrow.
"""

from __future__ import annotations

import re

from services.email.receive.wordings import FULL, GONE, NOT_GONE, OTHER_REASONS

# RFC 3463. Which of them can be trusted was counted on several hundred bounces of known causes: 5.1.7 and 5.1.8 are
# about the sender; 5.2.1, 5.1.0, 5.0.0 and 5.5.0 say nothing, nor does 5.7.1.
_HARD = frozenset(("5.1.1", "5.1.2", "5.1.3", "5.1.4", "5.1.6", "5.1.10", "5.4.4", "5.4.310"))
_SOFT = re.compile(r"5\.1\.[78]|5\.2\.[234]|5\.3\.[1-9]|5\.4\.[2-7]|5\.6\.\d+|5\.7\.(?:[02-9]|[1-9]\d+)|4\.\d+\.\d+")

_LONGEST = 8 * 1024  # characters that are looked at


def is_hard(state: str, status: str | None, diagnostic: str, letter: str) -> bool:
    """Whether nothing will ever arrive there. `diagnostic` is the report's own word, `letter` the text around it."""
    if state != "failed":
        return False
    said = diagnostic or letter[:_LONGEST]
    if FULL.search(said):
        return False
    if status in _HARD:
        return OTHER_REASONS.search(said) is None or GONE.search(said) is not None
    if status and _SOFT.fullmatch(status):
        return False
    for said in (diagnostic, letter[:_LONGEST]):
        gone, other = GONE.search(said), NOT_GONE.search(said)
        if gone or other:
            # Of two reasons the one that is given first: advice and links follow it. One inside the other qualifies it
            # (`mailbox temporarily unavailable`).
            return gone is not None and (other is None or gone.end() <= other.start())
    return False
