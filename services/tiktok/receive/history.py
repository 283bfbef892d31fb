"""The history as items for normalise: rows of `content/list` and referrals of `conversation/list`, oldest first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from services.tiktok.receive.wire import moment
from shared.channel import RawItem

_MOST_PARTICIPANTS = 10


def history_items(
    answer: Mapping[str, Any], business_id: str | None = None, conversation_id: str | None = None
) -> list[RawItem]:
    """The messages of one answer of `content/list` (its `data`) as items marked `backfill`.

    The business is taken from the participants where it is not given, the conversation of a row that names none is
    the one that was asked for. Raises ValueError when there is no message.
    """
    # Every item brings them along; a conversation has two.
    participants = [p for p in _listed(answer.get("participants")) if isinstance(p, dict)][:_MOST_PARTICIPANTS]
    if business_id is None:
        ours = (p.get("id") for p in participants if str(p.get("role")).upper() == "BUSINESS_ACCOUNT")
        business_id = next((str(found) for found in ours if found), None)
    rows = [row for row in _listed(answer.get("messages")) if isinstance(row, dict) and row]
    if not rows:
        raise ValueError("The answer has no message.")
    if conversation_id is not None:
        rows = [{**row, "conversation_id": row.get("conversation_id") or conversation_id} for row in rows]
    rows.sort(key=_sent_at)
    return [_item("history_message", row, business_id, participants) for row in rows]


def referral_items(conversation: Mapping[str, Any], business_id: str) -> list[RawItem]:
    """The referrals of one entry of `conversation/list`: one item with all of them, or none."""
    referral = conversation.get("referral")
    if not isinstance(referral, dict) or not (referral.get("ad") or referral.get("short_link")):
        return []
    content = {
        "conversation_id": conversation.get("conversation_id"),
        "timestamp": conversation.get("update_time"),
        "referral": referral,
    }
    return [_item("im_referral_msg", content, business_id, [])]


def _item(event: str, content: Mapping[str, Any], business_id: str | None, participants: list[Any]) -> RawItem:
    envelope = {
        "event": event,
        "user_openid": business_id,
        "content": content,
        "backfill": True,
        "participants": participants,
    }
    key = content.get("conversation_id")
    return RawItem(
        key=str(key) if isinstance(key, str | int) and key else business_id or "unknown",
        body=orjson.dumps(envelope),
        external_id=business_id,
    )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _sent_at(row: Mapping[str, Any]) -> float:
    found = moment(row.get("timestamp"))
    return found.timestamp() if found else 0.0
