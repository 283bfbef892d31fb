"""Ids of uploaded files in the state store: of this account as it is now, and of nobody while the state is away."""

from __future__ import annotations

from typing import Any

from shared.channel import Account
from shared.contract.accounts import AccountRecord
from shared.runtime.outbound.uploads import KeptUploads
from shared.state.client import StateUnavailable
from shared.state.store import Store


def _account(external_id: str = "1") -> Account:
    record = {"account_id": "a", "workspace_id": "w", "channel": "telegram", "external_id": external_id}
    return Account(AccountRecord.model_validate(record))


class _Client:
    """The two commands in use, or an outage."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}
        self.away = False

    async def call(self, command: str, key: str, *arguments: Any) -> str | None:
        if self.away:
            raise StateUnavailable
        if command == "SET":
            self.kept[key] = arguments[0]
        return self.kept.get(key) if command == "GET" else self.kept.pop(key, None) if command == "DEL" else None


async def test_an_id_is_of_the_account_as_it_is_now_and_of_one_content() -> None:
    uploads = KeptUploads("telegram", Store(_Client()))  # type: ignore[arg-type]
    await uploads.keep(_account(), "digest photo", "id")
    assert await uploads.get(_account(), "digest photo") == "id"
    assert await uploads.get(_account("2"), "digest photo") is None  # another bot under the same name
    assert await uploads.get(_account(), "digest document a.pdf") is None
    await uploads.forget(_account(), "digest photo")
    assert await uploads.get(_account(), "digest photo") is None


async def test_while_the_state_is_away_nothing_is_known_and_nothing_fails() -> None:
    client = _Client()
    uploads = KeptUploads("telegram", Store(client))  # type: ignore[arg-type]
    await uploads.keep(_account(), "digest photo", "id")
    client.away = True
    assert await uploads.get(_account(), "digest photo") is None
    await uploads.keep(_account(), "other", "id")
    await uploads.forget(_account(), "other")
