"""The endpoints that read or configure: media, capabilities, history, profile, Comment-to-Message."""

from __future__ import annotations

from typing import Any

from aiohttp import BodyPartReader, web

from .api import ApiCall, Handler
from .checks import RequestCheck
from .errors import Code, Malformed, Rejected
from .events import history_row
from .media import Blob, MediaStore
from .options import DAY_S
from .platform import Platform
from .tables import MAX_IMAGE_BYTES
from .world import Conversation

HISTORY_LENGTH = 20
LISTED_DAYS = 90
MAX_LISTED = 100
MAX_FORM_FIELD = 4_096

COMMENT_TO_MESSAGE_COUNTRIES = frozenset({"VN", "ID", "TH"})
_IMAGE_TYPES = frozenset({"image/jpeg", "image/jpg", "image/png"})


async def read_form(http: web.BaseRequest, check: RequestCheck, media: MediaStore) -> tuple[dict[str, Any], Blob]:
    """Read an upload's parts in any order, streaming the file to disk.

    Raises `Malformed` with HTTP status 400 for a body, file name or content type the platform cannot parse.
    """
    params: dict[str, Any] = {}
    blob: Blob | None = None
    try:
        async for part in await http.multipart():
            if not isinstance(part, BodyPartReader) or part.name is None:
                raise Malformed("parsing error: a part has no name", status=400)
            if part.name == "file" and blob is None:
                if not part.filename or part.headers.get("Content-Type", "").lower() not in _IMAGE_TYPES:
                    raise Malformed("parsing error: file needs a name and an image content type", status=400)
                blob = await media.store(part.read_chunk, limit=MAX_IMAGE_BYTES, formats=_IMAGE_TYPES)
            elif part.name in params or len(value := await part.read()) > MAX_FORM_FIELD:
                raise Malformed(f"parsing error: {part.name} is given twice or too long", status=400)
            else:
                params[part.name] = value.decode()
        if blob is None:
            raise Malformed("file is required", status=400)
        return check.params(params), blob
    except ValueError:
        raise Malformed("parsing error: not multipart", status=400) from None
    except Rejected:
        if blob is not None:
            media.discard(blob)
        raise


async def upload(call: ApiCall) -> dict[str, Any]:
    assert call.upload is not None
    blob = call.platform.media.claim(call.upload, call.owner.business_id)
    return {"media_id": blob.media_id}


async def download(call: ApiCall) -> dict[str, Any]:
    params = call.params
    message = call.conversation().find(params["message_id"])
    part = message.parts.get(params["media_type"].lower()) if message is not None else None
    if part is None or part.get("media_id") != params["media_id"]:
        raise Rejected(Code.NOT_FOUND, "The message has no such media.")
    blob = call.platform.media.get(params["media_id"])
    link = call.platform.media.link(blob.media_id, call.owner.business_id)
    return {"download_url": call.platform.base_url + link}


async def capabilities(call: ApiCall) -> dict[str, Any]:
    conversation = call.conversation()
    if call.params["conversation_type"] != conversation.conversation_type:
        raise Rejected(Code.INVALID_PARAMETER, "Param conversation_type is invalid.")
    infos = [{"capability_type": "IMAGE_SEND", "capability_result": conversation.images}]
    return {"capability_infos": infos}


async def conversations(call: ApiCall) -> dict[str, Any]:
    params, platform = call.params, call.platform
    oldest = platform.now_ms() - LISTED_DAYS * DAY_S * 1000
    listed = sorted(
        (
            c
            for c in platform.world.conversations.values()
            if c.account is call.owner and c.conversation_type == params["conversation_type"] and c.updated >= oldest
        ),
        key=lambda c: -c.updated,
    )[:MAX_LISTED]
    start = params.get("cursor", 0)
    page = listed[start : start + params.get("limit", MAX_LISTED)]
    end = start + len(page)
    return {"conversations": [_row(c) for c in page], "has_more": end < len(listed), "cursor": end}


def _row(conversation: Conversation) -> dict[str, Any]:
    """History has referrals as lists and an ad's time in seconds, where the webhook has milliseconds."""
    referral: dict[str, Any] = {}
    if conversation.ads:
        referral["ad"] = [ad | {"timestamp": ad["timestamp"] // 1000} for ad in conversation.ads]
    if conversation.links:
        referral["short_link"] = conversation.links
    return {
        "conversation_id": conversation.conversation_id,
        "update_time": conversation.updated,
        "referral": referral,
    }


async def messages(call: ApiCall) -> dict[str, Any]:
    conversation = call.conversation()
    newest = list(conversation.messages)[-HISTORY_LENGTH:]
    customer, account = conversation.customer, conversation.account
    return {
        "messages": [history_row(conversation, message) for message in reversed(newest)],
        "participants": [
            {
                "role": "BUSINESS_ACCOUNT",
                "id": account.business_id,
                "display_name": account.display_name,
                "profile_image": avatar_url(call.platform, account.username),
            },
            {
                "role": "PERSONAL_ACCOUNT",
                "id": customer.user_id,
                "display_name": customer.display_name,
                "profile_image": avatar_url(call.platform, customer.username),
                "is_follower": customer.is_follower,
            },
        ],
    }


def avatar_url(platform: Platform, username: str) -> str:
    """A profile picture's address, valid for a day and carrying its end like the platform's do."""
    return f"{platform.base_url}/static/avatar/{username}.png?x-expires={int(platform.clock.now()) + DAY_S}"


async def profile(call: ApiCall) -> dict[str, Any]:
    account = call.owner
    known = {
        "is_business_account": account.is_business,
        "username": account.username,
        "display_name": account.display_name,
        "profile_image": avatar_url(call.platform, account.username),
    }
    wanted = call.params.get("fields", list(known))
    if not set(wanted) <= known.keys():
        raise Malformed("fields names something the profile does not have")
    return {name: known[name] for name in wanted}


async def direct_reply_update(call: ApiCall) -> dict[str, Any]:
    if call.owner.country not in COMMENT_TO_MESSAGE_COUNTRIES:
        raise Rejected(Code.NO_PERMISSION, "Comment-to-Message is not available in your country.")
    call.owner.comment_to_message = call.params["operation_status"] == "ENABLE"
    return await direct_reply_get(call)


async def direct_reply_get(call: ApiCall) -> dict[str, Any]:
    return {
        "business_id": call.owner.business_id,
        "direct_reply_type": call.params["direct_reply_type"],
        "operation_status": "ENABLE" if call.owner.comment_to_message else "DISABLE",
    }


HANDLERS: dict[str, Handler] = {
    "upload": upload,
    "download": download,
    "capabilities": capabilities,
    "conversations": conversations,
    "messages": messages,
    "profile": profile,
    "direct_reply_update": direct_reply_update,
    "direct_reply_get": direct_reply_get,
}
