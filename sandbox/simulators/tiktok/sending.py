"""`message/send`: the window and the quota, every message type, sender actions, and the echo that follows."""

from __future__ import annotations

from typing import Any

from .api import ApiCall, Handler
from .errors import Code, Rejected
from .events import embed_url
from .ledger import Sent
from .options import DAY_S
from .platform import Platform
from .tables import SEND_PARTS
from .world import API, Comment, Conversation, Message

TYPING_SHOWN_MS = 5_000
COMMENT_REPLY_MS = 2 * DAY_S * 1000
COMMENT_SILENCE_MS = DAY_S * 1000

_QUOTABLE = frozenset({"text", "image", "share_post"})


async def send(call: ApiCall) -> dict[str, Any]:
    """Accept a message or refuse it; an accepted one counts against the window at once."""
    params, platform = call.params, call.platform
    if not call.owner.is_business:
        raise Rejected(Code.NO_PERMISSION, "The account is not a Business Account.")
    comment = _comment(call) if "direct_reply" in params else None
    if comment is not None:
        conversation = platform.world.thread(call.owner.business_id, comment.customer.username)
        _check_comment(comment, conversation, platform.now_ms())
    else:
        conversation = call.conversation("recipient")
        if conversation.remaining(platform.now_ms(), platform.options) <= 0:
            raise Rejected(Code.BLOCKED, "The message is not allowed by the rules of direct messaging.")
    if params["message_type"] == "SENDER_ACTION":
        _act(platform, conversation, params["sender_action"])
        return {"message": {"message_id": ""}}
    message = Message(
        message_id=platform.mint.message_id(),
        timestamp=platform.now_ms(),
        inbound=False,
        kind=params["message_type"].lower(),
        parts=_parts(call, conversation),
        source=API,
        references=_reference(params, conversation),
    )
    if comment is not None:
        comment.answered = True
    platform.take_in(conversation, message)
    text = params["text"]["body"] if message.kind == "text" else ""
    platform.ledger.record_sent(
        conversation.conversation_id,
        Sent(message.message_id, params["message_type"], text, message.timestamp),
    )
    if platform.options.echo != "off" and platform.webhooks.callback_url is not None:
        echo = platform.announcement(conversation, message)
        if platform.options.echo == "before":
            await platform.webhooks.post_now(echo)
        else:
            platform.webhooks.post_later(echo, platform.options.echo_delay)
    return {"message": {"message_id": message.message_id}}


def _act(platform: Platform, conversation: Conversation, action: str) -> None:
    now = platform.now_ms()
    if action == "TYPING":
        conversation.typing_until = now + TYPING_SHOWN_MS
    else:
        conversation.read_by_business = now
    data = {"conversation_id": conversation.conversation_id, "action": action, "timestamp": now}
    platform.feed.publish("sender_action", data)


def _parts(call: ApiCall, conversation: Conversation) -> dict[str, Any]:
    name = SEND_PARTS[call.params["message_type"]]
    part = call.params[name]
    if name == "image":
        if not conversation.images:
            raise Rejected(Code.INVALID_PARAMETER, "Images are not supported in this conversation.")
        if call.platform.media.get(part["media_id"]).business_id != call.owner.business_id:
            raise Rejected(Code.NOT_FOUND, "Media does not exist or has expired.")
    elif name == "share_post":
        if part["item_id"] not in call.owner.posts:
            raise Rejected(Code.NOT_FOUND, "Post does not exist or is not yours.")
        part = {"embed_url": embed_url(part["item_id"]), "video_id": part["item_id"]}
    return {name: part}


def _reference(params: dict[str, Any], conversation: Conversation) -> str | None:
    info = params.get("referenced_message_info")
    if info is None:
        return None
    quoted = conversation.find(info["referenced_message_id"])
    if quoted is None:
        raise Rejected(Code.NOT_FOUND, "Referenced message does not exist.")
    if quoted.kind not in _QUOTABLE:
        raise Rejected(Code.INVALID_PARAMETER, "Referenced message must be a text, an image or a post.")
    return quoted.message_id


def _comment(call: ApiCall) -> Comment:
    if not call.owner.comment_to_message:
        raise Rejected(Code.NO_PERMISSION, "Comment-to-Message is not enabled.")
    comment = call.platform.world.comments.get(call.params["direct_reply"]["comment_reply"]["comment_id"])
    if comment is None or comment.account is not call.owner:
        raise Rejected(Code.NOT_FOUND, "Comment does not exist.")
    return comment


def _check_comment(comment: Comment, conversation: Conversation, now: int) -> None:
    if comment.answered or now >= comment.posted + COMMENT_REPLY_MS:
        raise Rejected(Code.BLOCKED, "The comment can no longer be answered by a direct message.")
    if conversation.updated > now - COMMENT_SILENCE_MS:
        raise Rejected(Code.BLOCKED, "The user had a conversation with you in the past 24 hours.")


HANDLERS: dict[str, Handler] = {"send": send}
