"""Messages without files: text, location, venue, contact, poll, copies, forwards, and the chat action."""

from __future__ import annotations

from sandbox.simulators.telegram.errors import bad_request
from sandbox.simulators.telegram.methods.call import Call, caption_of
from sandbox.simulators.telegram.methods.sending import CONTENT, kind_of, post
from sandbox.simulators.telegram.model import Json
from sandbox.simulators.telegram.text import MAX_TEXT, format_text

_ACTIONS = """
    typing upload_photo record_video upload_video record_voice upload_voice upload_document choose_sticker
    find_location record_video_note upload_video_note
"""
ACTIONS = frozenset(_ACTIONS.split())
ACTION_LIFE = 5.0  # seconds a chat action is shown
_POLL_DEFAULTS = {"is_anonymous": True, "allows_multiple_answers": False, "allows_revoting": True}


async def send_message(call: Call) -> Json:
    """sendMessage."""
    text, entities = call.formatted("text", "entities")
    conversation = call.target()
    content: Json = {"text": text}
    if entities:
        content["entities"] = entities
    if "link_preview_options" in call.parameters:
        content["link_preview_options"] = call.json("link_preview_options")
    return post(call, conversation, "text", content)


def _location(call: Call) -> Json:
    try:
        latitude, longitude = (float(call.parameters.get(name, "")) for name in ("latitude", "longitude"))
    except (TypeError, ValueError):
        raise bad_request("invalid location specified") from None
    if not (abs(latitude) <= 90 and abs(longitude) <= 180):
        raise bad_request("invalid location specified")
    return {"latitude": latitude, "longitude": longitude}


async def send_location(call: Call) -> Json:
    """sendLocation."""
    location = _location(call)
    for name in ("horizontal_accuracy", "live_period", "heading", "proximity_alert_radius"):
        if name in call.parameters:
            location[name] = call.parameters[name]
    return post(call, call.target(), "location", {"location": location})


async def send_venue(call: Call) -> Json:
    """sendVenue; a venue carries its location twice, as Telegram does."""
    location = _location(call)
    venue = {"location": location, "title": call.text("title"), "address": call.text("address")}
    return post(call, call.target(), "venue", {"location": location, "venue": venue})


async def send_contact(call: Call) -> Json:
    """sendContact."""
    names = ("phone_number", "first_name", "last_name", "vcard")
    contact = {name: call.text(name) for name in names if call.text(name)}
    if len(contact.get("vcard", "").encode()) > 2048:
        raise bad_request("vcard is too long")
    return post(call, call.target(), "contact", {"contact": contact})


async def send_poll(call: Call) -> Json:
    """sendPoll."""
    question, _ = format_text(call.text("question"), call.text("question_parse_mode"), None, MAX_TEXT)
    options = call.json("options") or []
    if len(question) > 300:
        raise bad_request("poll question length must not exceed 300")
    if not 2 <= len(options) <= 12:
        few = "must have at least 2 option" if len(options) < 2 else "can't have more than 12 options"
        raise bad_request(f"poll {few}")
    if any(not 1 <= len(option["text"]) <= 100 for option in options):
        raise bad_request("poll options length must not exceed 100")
    conversation = call.target()
    poll: Json = {
        "id": str(5_000_000_000 + call.world.next_id()),
        "question": question,
        "options": [
            {"persistent_id": str(index), "text": option["text"], "voter_count": 0}
            for index, option in enumerate(options)
        ],
        "total_voter_count": 0,
        "is_closed": call.flag("is_closed"),
        "type": call.text("type") or "regular",
        "members_only": call.flag("members_only"),
    }
    for name, default in _POLL_DEFAULTS.items():
        poll[name] = call.flag(name) if name in call.parameters else default
    return post(call, conversation, "poll", {"poll": poll})


async def send_chat_action(call: Call) -> bool:
    """sendChatAction; the undocumented `cancel` clears the action."""
    action = call.text("action")
    if action != "cancel" and action not in ACTIONS:
        raise bad_request("wrong parameter action in request")
    conversation = call.target()
    thread = call.integer("message_thread_id") if "message_thread_id" in call.parameters else None
    expires = call.world.clock.now() + ACTION_LIFE
    if action == "cancel":
        conversation.actions.pop(thread, None)
    else:
        conversation.actions[thread] = (action, expires)
    call.world.announce("action", conversation, action=action, thread_id=thread, expires=expires)
    return True


def _source(call: Call, what: str) -> Json:
    origin = call.world.conversations.get((call.bot.id, _chat_number(call.chat("from_chat_id")), None))
    message = origin.find(call.integer("message_id")) if origin else None
    if message is None:
        raise bad_request(f"message to {what} not found")
    return message.wire


def _chat_number(chat_id: object) -> int:
    return chat_id if isinstance(chat_id, int) else 0


async def copy_message(call: Call) -> Json:
    """copyMessage."""
    source = _source(call, "copy")
    content = {name: source[name] for name in CONTENT if name in source}
    kind = kind_of(source)
    if kind == "service":
        raise bad_request("message can't be copied")
    if "caption" in call.parameters:
        content = {name: value for name, value in content.items() if not name.startswith("caption")}
        options = {**call.parameters, "caption_entities": call.json("caption_entities")}
        content |= caption_of(options)
    wire = post(call, call.target(), kind, content)
    return {"message_id": wire["message_id"]}


async def forward_message(call: Call) -> Json:
    """forwardMessage."""
    source = _source(call, "forward")
    if source.get("has_protected_content"):
        raise bad_request("message can't be forwarded")
    content = {name: source[name] for name in CONTENT if name in source}
    content["forward_origin"] = {"type": "user", "date": source["date"], "sender_user": source["from"]}
    return post(call, call.target(), kind_of(source), content)


HANDLERS = {
    "sendmessage": send_message,
    "sendlocation": send_location,
    "sendvenue": send_venue,
    "sendcontact": send_contact,
    "sendpoll": send_poll,
    "sendchataction": send_chat_action,
    "copymessage": copy_message,
    "forwardmessage": forward_message,
}
