"""Planned calls carried out: files uploaded where Meta does not have them, bodies completed, answers read."""

from __future__ import annotations

from services.whatsapp.api.client import Client, number_of
from services.whatsapp.api.errors import About, failure_of, nothing_sent
from services.whatsapp.api.uploads import Upload
from services.whatsapp.identity import is_bsuid, phone_alias, phone_digits
from services.whatsapp.send.draft import placed
from services.whatsapp.send.outbound import BLOCK, UNBLOCK
from shared.channel import Account, Call, Failure, Files, ProviderError, Receipt
from shared.contract.base import Alias, AliasKind
from shared.contract.commands import File
from shared.contract.errors import ErrorCode
from shared.contract.statuses import State
from shared.kit import loose
from shared.kit.loose import Json
from shared.kit.multipart import open_file
from shared.kit.uploads import IdOf, Uploads, content_of
from shared.media.types import claim

_BLOCKING = {BLOCK: "POST", UNBLOCK: "DELETE"}


class Sender:
    """Makes the calls of `plan`. Raises ProviderError."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.uploads = Uploads()

    async def perform(self, call: Call, account: Account, files: Files, correlation: str | None) -> Receipt:
        """Make one call; the message is sent after its files have been uploaded, and not without them.

        An id of an earlier upload that Meta refuses is given up, and the file uploaded once more.
        """
        if call.method in _BLOCKING:
            return await self._block(call, account)
        return await self.uploads.sending(account, lambda id_of: self._send(call, account, files, correlation, id_of))

    async def _send(self, call: Call, account: Account, files: Files, correlation: str | None, id_of: IdOf) -> Receipt:
        body = dict(call.params)
        learned: dict[str, str] = {}
        for path, file in call.files.items():
            learned[path], name = await self._media_id(account, file, files, id_of)
            body = placed(body, path, learned[path])
            if path == "document.id" and name and "filename" not in body["document"]:
                body = placed(body, "document.filename", name)
        if correlation and call.parts:
            body["biz_opaque_callback_data"] = correlation
        about = About.TEMPLATE if body.get("type") == "template" else About.MESSAGE
        answer = await self._client.call(account, "POST", f"/{number_of(account)}/messages", body, about=about)
        return _receipt(answer, learned, group=body.get("recipient_type") == "group") if call.parts else Receipt()

    async def _block(self, call: Call, account: Account) -> Receipt:
        path = f"/{number_of(account)}/block_users"
        answer = await self._client.call(account, _BLOCKING[call.method], path, dict(call.params))
        # A user who cannot be blocked is reported in an answer that is otherwise a success.
        for failed in loose.objects(loose.obj(answer, "block_users"), "failed_users"):
            raise ProviderError(failure_of(next(iter(loose.objects(failed, "errors")), {})))
        return Receipt()

    async def _media_id(self, account: Account, file: File, files: Files, id_of: IdOf) -> tuple[str, str | None]:
        """Meta's id of a file, and the file's name."""
        name = file.filename

        async def upload() -> str:
            nonlocal name
            media_id, name = await self._upload(account, file, files)
            return media_id

        return await id_of(content_of(file, claim(file.mime_type) or ""), upload), name

    async def _upload(self, account: Account, file: File, files: Files) -> tuple[str, str]:
        upload = Upload(await open_file(files, file))
        number = number_of(account)
        try:
            answer = await self._client.upload(account, f"/{number}/media", upload.fields, upload.part)
        except ProviderError as refused:
            if upload.part.unreadable:
                unread = Failure(ErrorCode.FILE_UNAVAILABLE, detail="The file could not be read.")
                raise ProviderError(unread) from None
            raise ProviderError(nothing_sent(refused.failure)) from None
        media_id = loose.text(answer, "id")
        if media_id is None:
            raise ProviderError(Failure(ErrorCode.PROVIDER_UNAVAILABLE, detail="The upload was given no id."))
        return media_id, upload.part.file.filename


def _receipt(answer: Json, learned_files: dict[str, str], *, group: bool) -> Receipt:
    """Ids and names of an answer. A 200 says that Meta has taken the message; `sent` comes by webhook."""
    wamid = next((found for sent in loose.objects(answer, "messages") if (found := loose.text(sent, "id"))), None)
    if wamid is None:
        raise ProviderError(Failure(ErrorCode.UNCERTAIN, certain=False, detail="The answer names no message."))
    learned = () if group else _learned(next(iter(loose.objects(answer, "contacts")), {}))
    return Receipt((wamid,), state=State.ACCEPTED, learned=learned, learned_files=learned_files)


def _learned(contact: Json) -> tuple[Alias, ...]:
    """Names the answer gives the recipient: `wa_id` differs from the number written to in Brazil and Mexico."""
    digits = phone_digits(loose.text(contact, "wa_id") or "")
    found = [phone_alias(digits)] if digits else []
    user_id = loose.text(contact, "user_id")
    if user_id and is_bsuid(user_id):
        found.append(Alias(kind=AliasKind.BSUID, value=user_id))
    return tuple(alias for alias in found if alias)
