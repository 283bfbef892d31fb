"""Files that the provider has already go by their ids; an id that it no longer knows costs one more upload."""

from __future__ import annotations

import pytest

from shared.channel import Account, Failure, ProviderError, Receipt
from shared.contract.accounts import AccountRecord
from shared.contract.errors import ErrorCode
from shared.kit.uploads import IdOf, Uploads

ACCOUNT = Account(AccountRecord(account_id="acc", workspace_id="ws", channel="line"))


class Provider:
    """Counts what is uploaded, and refuses the ids that it has `forgotten`."""

    def __init__(self) -> None:
        self.uploads = 0
        self.sent: list[str] = []
        self.forgotten: set[str] = set()

    async def upload(self) -> str:
        self.uploads += 1
        return f"id{self.uploads}"

    async def send(self, id_of: IdOf, content: str | None) -> Receipt:
        ref = await id_of(content, self.upload)
        if ref in self.forgotten:
            raise ProviderError(Failure(ErrorCode.FILE_UNAVAILABLE))
        self.sent.append(ref)
        return Receipt((ref,))


async def test_a_content_is_uploaded_once_and_again_where_its_id_is_refused() -> None:
    uploads, provider = Uploads(), Provider()
    for _ in range(2):
        await uploads.sending(ACCOUNT, lambda id_of: provider.send(id_of, "picture"))
    provider.forgotten = {"id1"}
    await uploads.sending(ACCOUNT, lambda id_of: provider.send(id_of, "picture"))
    assert provider.sent == ["id1", "id1", "id2"]


async def test_bytes_that_nobody_has_looked_at_are_uploaded_each_time() -> None:
    uploads, provider = Uploads(), Provider()
    for _ in range(2):
        await uploads.sending(ACCOUNT, lambda id_of: provider.send(id_of, None))
    assert provider.sent == ["id1", "id2"]


async def test_a_refusal_of_a_fresh_upload_is_final() -> None:
    uploads, provider = Uploads(), Provider()
    provider.forgotten = {"id1", "id2"}
    with pytest.raises(ProviderError):
        await uploads.sending(ACCOUNT, lambda id_of: provider.send(id_of, "picture"))
    assert provider.uploads == 1
