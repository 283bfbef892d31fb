"""What the simulator remembers for assertions: calls, violations and every accepted send, in bounded rings."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from typing import Any, NamedTuple

from .tables import Credentials, Endpoint

KEPT_CALLS = 5_000
KEPT_VIOLATIONS = 1_000
KEPT_SENDS = 200_000

_SECRETS = frozenset({"client_secret", "secret", "access_token", "refresh_token", "auth_code"})


class Call(NamedTuple):
    """One answered call; `params` has its secrets masked, `code` is the envelope's, None when nothing was said."""

    at: int
    endpoint: str
    params: dict[str, Any]
    status: int
    code: int | None
    request_id: str


class Violation(NamedTuple):
    """A request that broke the contract; `problem` names fields, never values. `at` is unix milliseconds."""

    at: int
    request: str
    problem: str


class Sent(NamedTuple):
    """A message the platform accepted through the API. `text` is "" for anything but TEXT."""

    message_id: str
    message_type: str
    text: str
    timestamp: int


class Ledger:
    """Rings of the newest calls, violations and sends, plus totals that never forget."""

    def __init__(self, kept_sends: int = KEPT_SENDS) -> None:
        self.calls: deque[Call] = deque(maxlen=KEPT_CALLS)
        self.violations: deque[Violation] = deque(maxlen=KEPT_VIOLATIONS)
        self.totals: Counter[str] = Counter()
        self._kept_sends = kept_sends
        self._sends: defaultdict[str, deque[Sent]] = defaultdict(deque)
        self._order: deque[str] = deque()

    def record_call(
        self, at: int, endpoint: Endpoint, params: dict[str, Any], status: int, code: int | None, request_id: str
    ) -> None:
        """Keep a call; app endpoints are the only ones with secrets among their parameters."""
        if endpoint.credentials is not Credentials.ACCESS_TOKEN:
            params = {name: "***" if name in _SECRETS else value for name, value in params.items()}
        self.calls.append(Call(at, endpoint.name, params, status, code, request_id))
        self.totals[endpoint.name] += 1

    def record_violation(self, at: int, request: str, problem: str) -> None:
        """Keep a breach of the contract."""
        self.violations.append(Violation(at, request, problem))
        self.totals["violations"] += 1

    def record_sent(self, conversation_id: str, sent: Sent) -> None:
        """Keep an accepted send; beyond the limit the oldest of all conversations goes."""
        self._sends[conversation_id].append(sent)
        self._order.append(conversation_id)
        self.totals["sent"] += 1
        if len(self._order) > self._kept_sends:
            oldest = self._order.popleft()
            self._sends[oldest].popleft()
            if not self._sends[oldest]:
                del self._sends[oldest]

    def sent(self, conversation_id: str) -> list[Sent]:
        """The accepted sends of a conversation, oldest first."""
        return list(self._sends.get(conversation_id, ()))

    def all_sent(self) -> Iterator[tuple[str, Sent]]:
        """The accepted sends of all conversations, with the conversation's id."""
        return ((conversation_id, sent) for conversation_id, sends in self._sends.items() for sent in sends)

    def duplicates(self) -> list[tuple[str, str, int]]:
        """Texts a conversation got more than once, as (conversation id, text, times)."""
        found: list[tuple[str, str, int]] = []
        for conversation_id, sends in self._sends.items():
            times = Counter(sent.text for sent in sends if sent.text)
            if len(times) < len(sends):
                found.extend((conversation_id, text, n) for text, n in times.items() if n > 1)
        return found

    def clear(self) -> None:
        """Forget everything, as between two tests."""
        self.calls.clear()
        self.violations.clear()
        self.totals.clear()
        self._sends.clear()
        self._order.clear()
