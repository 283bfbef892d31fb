"""The bot's own affairs: identity, webhook, updates, files, chats, callback answers, business connections."""

from __future__ import annotations

from sandbox.simulators.telegram.access import check_active, find_connection, known_chat, use_right
from sandbox.simulators.telegram.errors import bad_request
from sandbox.simulators.telegram.media import make_media
from sandbox.simulators.telegram.methods.call import Answer, Call
from sandbox.simulators.telegram.methods.edits import remove
from sandbox.simulators.telegram.model import Conversation, Json, Message
from sandbox.simulators.telegram.updates import CALLBACK_LIFE, Webhook, check_url

LOGGED_OUT = 600.0  # seconds before a bot may come back after logOut
MAX_POLL = 50


async def get_me(call: Call) -> Json:
    """getMe."""
    return {
        **call.bot.user,
        "can_join_groups": True,
        "can_read_all_group_messages": not call.bot.privacy_mode,
        "supports_inline_queries": False,
        "can_connect_to_business": True,
        "has_main_web_app": False,
    }


async def log_out(call: Call) -> bool:
    """logOut: the bot cannot come back for ten minutes."""
    call.bot.logged_out_until = call.world.clock.now() + LOGGED_OUT
    return True


async def close(call: Call) -> bool:
    """close: updates are no longer sent from this server."""
    await call.bot.updates.close()
    return True


async def set_webhook(call: Call) -> Answer:
    """setWebhook."""
    url = call.text("url")
    drop_pending = call.flag("drop_pending_updates")
    if not url:
        return Answer(True, await call.bot.updates.delete_webhook(drop_pending))
    check_url(url)
    most = min(max(call.integer("max_connections", 40), 1), 100)
    webhook = Webhook(url, call.text("secret_token"), most, call.text("ip_address"))
    return Answer(True, await call.bot.updates.set_webhook(webhook, call.json("allowed_updates"), drop_pending))


async def delete_webhook(call: Call) -> Answer:
    """deleteWebhook."""
    return Answer(True, await call.bot.updates.delete_webhook(call.flag("drop_pending_updates")))


async def get_webhook_info(call: Call) -> Json:
    """getWebhookInfo."""
    return call.bot.updates.info()


async def get_updates(call: Call) -> object:
    """getUpdates."""
    updates = call.bot.updates
    limit = call.integer("limit", 100)
    return await updates.poll(
        call.integer("offset"),
        limit if 1 <= limit <= 100 else 100,
        min(max(call.integer("timeout"), 0), MAX_POLL),
        call.json("allowed_updates"),
    )


async def get_file(call: Call) -> Json:
    """getFile."""
    file_id = call.text("file_id")
    if not file_id:
        raise bad_request("file_id not specified")
    stored = call.world.files.get(file_id)
    if stored is None or stored.bot_id != call.bot.id:
        raise bad_request("invalid file_id")
    return call.world.files.link(stored)


async def get_chat(call: Call) -> Json:
    """getChat."""
    conversation = known_chat(call.world, call.bot, call.chat())
    if conversation.access == "new":
        raise bad_request("chat not found")
    return {
        **conversation.chat,
        "accent_color_id": 0,
        "max_reaction_count": 11,
        "accepted_gift_types": {
            "unlimited_gifts": True,
            "limited_gifts": True,
            "unique_gifts": True,
            "premium_subscription": True,
            "gifts_from_channels": True,
        },
    }


async def get_user_profile_photos(call: Call) -> Json:
    """getUserProfilePhotos."""
    person = call.world.people.get(call.integer("user_id"))
    if person is None:
        raise bad_request("user not found")
    offset, limit = call.integer("offset"), call.integer("limit", 100)
    photos = []
    for upload in person.photos[offset : offset + limit]:
        stored = await make_media(call.world.files, call.bot.id, "photo", upload, {})
        photos.append(stored.content["photo"])
    return {"total_count": len(person.photos), "photos": photos}


async def answer_callback_query(call: Call) -> bool:
    """answerCallbackQuery: once, within 150 seconds."""
    query_id = call.text("callback_query_id")
    if len(call.text("text")) > 200:
        raise bad_request("MESSAGE_TOO_LONG")
    query = call.world.callback_queries.get(query_id)
    late = query is None or query.bot_id != call.bot.id or call.world.clock.now() - query.at > CALLBACK_LIFE
    if query is None or late:
        raise bad_request("query is too old and response timeout expired or query ID is invalid")
    del call.world.callback_queries[query_id]
    call.world.announce(
        "callback_answer",
        query.conversation,
        query_id=query_id,
        text=call.text("text"),
        show_alert=call.flag("show_alert"),
    )
    return True


async def get_business_connection(call: Call) -> Json:
    """getBusinessConnection."""
    return find_connection(call.world, call.bot, call.text("business_connection_id")).as_update()


async def read_business_message(call: Call) -> bool:
    """readBusinessMessage: marks this and all earlier messages of the customer as read."""
    connection = use_right(call.world, call.bot, call.text("business_connection_id"), "can_read_messages")
    chat_id = call.integer("chat_id")
    check_active(call.world, connection, chat_id)
    conversation = call.world.conversations[(call.bot.id, chat_id, connection.id)]
    last = conversation.find(call.integer("message_id"))
    if last is None or last.outgoing:
        raise bad_request("MESSAGE_ID_INVALID")
    for message in conversation.messages.values():
        if not message.outgoing and message.id <= last.id:
            message.read = True
    call.world.announce("read", conversation, message_id=last.id)
    return True


async def delete_business_messages(call: Call) -> bool:
    """deleteBusinessMessages: all of one chat, 1 to 100."""
    connection_id = call.text("business_connection_id")
    ids: list[int] = call.json("message_ids") or []
    if not 1 <= len(ids) <= 100:
        raise bad_request("there must be from 1 to 100 message identifiers")
    conversation, messages = _business_messages(call, connection_id, ids)
    rights = find_connection(call.world, call.bot, connection_id).rights
    only_sent = all(message.outgoing for message in messages)
    enough = "can_delete_sent_messages" if only_sent else "can_delete_all_messages"
    use_right(call.world, call.bot, connection_id, enough if rights.get(enough) else "can_delete_all_messages")
    for message in messages:
        remove(call, conversation, message)
    return True


def _business_messages(call: Call, connection_id: str, ids: list[int]) -> tuple[Conversation, list[Message]]:
    find_connection(call.world, call.bot, connection_id)
    for conversation in call.world.conversations.values():
        if conversation.connection_id == connection_id:
            found = [conversation.find(message_id) for message_id in ids]
            if all(found):
                return conversation, [message for message in found if message is not None]
    raise bad_request("message to delete not found")


HANDLERS = {
    "getme": get_me,
    "logout": log_out,
    "close": close,
    "setwebhook": set_webhook,
    "deletewebhook": delete_webhook,
    "getwebhookinfo": get_webhook_info,
    "getupdates": get_updates,
    "getfile": get_file,
    "getchat": get_chat,
    "getuserprofilephotos": get_user_profile_photos,
    "answercallbackquery": answer_callback_query,
    "getbusinessconnection": get_business_connection,
    "readbusinessmessage": read_business_message,
    "deletebusinessmessages": delete_business_messages,
}
