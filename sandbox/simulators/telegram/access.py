"""Who a bot may write to: the checks Telegram makes before it sends, and their errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.simulators.telegram.errors import bad_request, forbidden
from sandbox.simulators.telegram.model import Connection, Conversation, Group

if TYPE_CHECKING:
    from sandbox.simulators.telegram.world import Bot, World

BUSINESS_WINDOW = 86_400.0  # seconds (BusinessBotRights.can_reply: incoming messages in the last 24 hours)


def reach(world: World, bot: Bot, chat_id: object, connection_id: str | None = None) -> Conversation:
    """The conversation the bot may send to; raises `ApiError`."""
    if connection_id:
        return _reach_customer(world, bot, chat_id, connection_id, "can_reply")
    conversation = known_chat(world, bot, chat_id)
    if conversation.group is not None:
        _check_group(bot, conversation.group)
    elif conversation.person is not None and conversation.person.deactivated:
        raise forbidden("user is deactivated")
    elif conversation.access == "blocked":
        raise forbidden("bot was blocked by the user")
    elif conversation.access == "new":
        raise forbidden("bot can't initiate conversation with a user")
    return conversation


def known_chat(world: World, bot: Bot, chat_id: object) -> Conversation:
    """The bot's conversation with a chat it may know of, whether or not it may send there."""
    if isinstance(chat_id, str) and chat_id.startswith("@"):
        chat_id = world.id_of_username(chat_id[1:]) or "unknown"
    if chat_id is None or chat_id == "":
        raise bad_request("chat_id is empty")
    if not isinstance(chat_id, int):
        raise bad_request("chat not found")
    found = world.conversations.get((bot.id, chat_id, None))
    if found is not None:
        return found
    if chat_id in world.bots:
        raise forbidden("bot can't send messages to bots")
    person = world.people.get(chat_id)
    if person is not None:
        return world.conversation(bot.id, person)
    if bot.open_to_all and chat_id > 0:
        conversation = world.conversation(bot.id, world.add_person(id=chat_id, first_name=f"Person {chat_id}"))
        conversation.access = "open"
        return conversation
    group = world.groups.get(chat_id)
    if group is None or bot.id not in group.bots:
        raise bad_request("chat not found")
    return world.conversation(bot.id, group)


def _check_group(bot: Bot, group: Group) -> None:
    if group.migrated_to is not None:
        raise bad_request("group chat was upgraded to a supergroup chat", migrate_to_chat_id=group.migrated_to)
    if group.deleted:
        raise forbidden("the group chat was deleted")
    match group.bots.get(bot.id):
        case "kicked":
            raise forbidden(f"bot was kicked from the {group.type} chat")
        case "left":
            raise forbidden(f"bot is not a member of the {group.type} chat")
        case "restricted":
            raise bad_request("not enough rights to send text messages to the chat")
        case "member" if group.type == "channel":
            raise bad_request("need administrator rights in the channel chat")


def find_connection(world: World, bot: Bot, connection_id: str) -> Connection:
    """The business connection, when it is this bot's; raises `ApiError`."""
    connection = world.connections.get(connection_id)
    if connection is None or connection.bot_id != bot.id:
        raise bad_request("business connection not found")
    return connection


def use_right(world: World, bot: Bot, connection_id: str, right: str) -> Connection:
    """The connection, when it is enabled and grants `right`; raises `ApiError`."""
    connection = find_connection(world, bot, connection_id)
    if not connection.is_enabled or not connection.rights.get(right):
        raise bad_request("BOT_ACCESS_FORBIDDEN")
    return connection


def _reach_customer(world: World, bot: Bot, chat_id: object, connection_id: str, right: str) -> Conversation:
    connection = find_connection(world, bot, connection_id)
    if not isinstance(chat_id, int) or chat_id <= 0:
        raise bad_request("chat must be a private chat")
    if chat_id == connection.owner.id:
        raise bad_request("messages must not be sent to self")
    use_right(world, bot, connection_id, right)
    check_active(world, connection, chat_id)
    conversation = world.conversations[(bot.id, chat_id, connection_id)]
    if conversation.person is not None and conversation.person.deactivated:
        raise forbidden("user is deactivated")
    return conversation


def check_active(world: World, connection: Connection, chat_id: int) -> None:
    """Raise `ApiError` unless the customer wrote to the business account within 24 hours."""
    last = connection.active.get(chat_id)
    if last is None:
        raise bad_request("BUSINESS_PEER_INVALID")
    if world.clock.now() - last > BUSINESS_WINDOW:
        raise bad_request("BUSINESS_PEER_USAGE_MISSING")


def conversation_of(world: World, bot: Bot, chat_id: object, connection_id: str | None) -> Conversation:
    """Where an edit, deletion or reaction happens: no check that the bot may send there today."""
    if not connection_id:
        conversation = known_chat(world, bot, chat_id)
        if conversation.group is not None:
            _check_group(bot, conversation.group)
        return conversation
    use_right(world, bot, connection_id, "can_reply")
    conversation_id = (bot.id, chat_id if isinstance(chat_id, int) else 0, connection_id)
    found = world.conversations.get(conversation_id)
    if found is None:
        raise bad_request("BUSINESS_PEER_INVALID")
    return found
