"""What mail servers say of a sender: Authentication-Results (RFC 8601), the topmost first."""

from __future__ import annotations

import re

from services.email.receive import headers
from services.email.receive.headers import Head
from services.email.receive.parsed import Results, Verdict

_MOST = 10
_COMMENT = re.compile(r"\([^()]{0,500}\)")
_RESULT = re.compile(r"\b(spf|dkim|dmarc)\s*=\s*([a-z]{2,20})\b", re.I)
_VERDICTS: dict[str, Verdict] = {"pass": "pass", "none": "none"}
# A sender that is not sure of itself, or a check that could not be made, says nothing against anybody.
_VERDICTS |= dict.fromkeys(("fail", "softfail", "hardfail", "policy", "reject", "quarantine"), "fail")


def results_of(head: Head) -> tuple[Results, ...]:
    """The results in the header, whoever has written them: only those of a trusted server count."""
    found = []
    for value in head.all("authentication-results")[:_MOST]:
        said = _COMMENT.sub(" ", headers.text(value))
        server, _, rest = said.partition(";")
        verdicts: dict[str, Verdict] = {}
        for method, result in _RESULT.findall(rest):
            verdict = _VERDICTS.get(result.lower(), "unknown")
            # One good DKIM signature is enough, however many others have been broken on the way.
            if method.lower() not in verdicts or verdict == "pass":
                verdicts[method.lower()] = verdict
        name = server.split()[0].lower() if server.split() else ""
        found.append(Results(name, **verdicts))
    return tuple(found)
