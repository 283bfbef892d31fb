"""Builds what the platform says about a conversation: webhook contents (lowercase) and history rows (uppercase)."""

from __future__ import annotations

from typing import Any

from .world import Comment, Conversation, Message

Json = dict[str, Any]

PERSONAL, BUSINESS = "personal_account", "business_account"

# What `content/list` can show; everything else appears there as OTHER, without content.
_IN_HISTORY = frozenset({"text", "image", "share_post", "video", "emoji", "sticker", "template"})


def message_event(conversation: Conversation, message: Message) -> tuple[str, Json]:
    """Event name and content of a message: `im_receive_msg`, or `im_send_msg` for what the business sent."""
    content = _common(conversation, inbound=message.inbound)
    content |= {
        "message_id": message.message_id,
        "timestamp": message.timestamp,
        "type": message.kind,
        "scene_type": 0,
        "is_follower": conversation.customer.is_follower,
        "message_tag": {"source": message.source},
    }
    parts = message.parts
    content |= {"template": _webhook_template(parts["template"])} if message.kind == "template" else parts
    if message.references is not None:
        content["referenced_message_info"] = {"referenced_message_id": message.references}
    if message.auto_message_type is not None:
        content["auto_message_type"] = message.auto_message_type
    return ("im_receive_msg" if message.inbound else "im_send_msg"), content


def european_event(conversation: Conversation, message: Message) -> tuple[str, Json]:
    """A message from the EEA, Switzerland or the UK, stripped to our side of it."""
    account = conversation.account
    return "im_receive_msg_eu", {
        "to": account.username,
        "to_user": {"id": account.business_id, "role": BUSINESS},
        "timestamp": message.timestamp,
    }


def read_event(conversation: Conversation, timestamp: int, last_read: int) -> tuple[str, Json]:
    """The customer has read everything up to `last_read`; both are unix milliseconds."""
    content = _common(conversation, inbound=True)
    return "im_mark_read_msg", content | {"timestamp": timestamp, "read": {"last_read_timestamp": last_read}}


def referral_event(conversation: Conversation, timestamp: int, source: str, referral: Json) -> tuple[str, Json]:
    """The customer arrived by an ad or a short link; there is neither a message id nor a type."""
    content = _common(conversation, inbound=True)
    return "im_referral_msg", content | {
        "timestamp": timestamp,
        "referral": {"source": source, source: referral},
    }


def comment_event(comment: Comment, text: str) -> tuple[str, Json]:
    """A comment the platform takes for a buying signal; its id is a 19-digit JSON number."""
    return "im_receive_high_intent_comment", {
        "comment_id": int(comment.comment_id),
        "comment_text": text,
        "from": comment.customer.username,
        "to": comment.account.username,
        "unique_identifier": comment.customer.user_id,
        "timestamp": comment.posted,
    }


def history_row(conversation: Conversation, message: Message) -> Json:
    """A message as `content/list` returns it."""
    customer, account = conversation.customer, conversation.account
    here, there = (customer.username, account.username), (account.username, customer.username)
    known = message.kind in _IN_HISTORY
    row: Json = {
        "sender": (here if message.inbound else there)[0],
        "recipient": (here if message.inbound else there)[1],
        "conversation_id": conversation.conversation_id,
        "message_id": message.message_id,
        "timestamp": message.timestamp,
        "message_tag": {"source": message.source},
        "message_type": message.kind.upper() if known else "OTHER",
        **{side: {**user, "role": user["role"].upper()} for side, user in _users(conversation, message).items()},
    }
    if known:
        row |= {name: part for name, part in message.parts.items() if name == message.kind}
    if message.kind == "share_post":
        row["share_post"] = {"embed_url": message.parts["share_post"]["embed_url"]}
    if message.reactions:
        row["reactions"] = message.reactions
    if message.references is not None:
        row["referenced_message_info"] = {"referenced_message_id": message.references}
    if message.auto_message_type is not None:
        row["auto_message_type"] = message.auto_message_type
    return row


def embed_url(item_id: str) -> str:
    """The player link of a post."""
    return f"https://www.tiktok.com/player/v1/{item_id}?music_info=1&description=1&autoplay=1"


def _common(conversation: Conversation, *, inbound: bool) -> Json:
    customer, account = conversation.customer, conversation.account
    person = {"id": customer.user_id, "role": PERSONAL}
    business = {"id": account.business_id, "role": BUSINESS}
    return {
        "from": customer.username if inbound else account.username,
        "to": account.username if inbound else customer.username,
        "unique_identifier": customer.user_id,
        "from_user": person if inbound else business,
        "to_user": business if inbound else person,
        "conversation_id": conversation.conversation_id,
    }


def _users(conversation: Conversation, message: Message) -> dict[str, dict[str, str]]:
    common = _common(conversation, inbound=message.inbound)
    return {"from_user": common["from_user"], "to_user": common["to_user"]}


def _webhook_template(card: Json) -> Json:
    """A card as webhooks show it, which is not how it was sent: lowercase, in elements, `text` for `title`."""
    buttons = [
        {"text": button["title"], "type": button["type"], "id": button.get("id", "")} for button in card["buttons"]
    ]
    return {"type": card["type"].lower(), "elements": [{"title": card["title"], "buttons": buttons}]}
