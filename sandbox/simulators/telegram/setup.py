"""Setting the scene: bots, people, groups and business accounts, and how they change."""

from __future__ import annotations

import secrets
from typing import Literal

from pydantic import InstanceOf

from sandbox.simulators.common import ControlError
from sandbox.simulators.telegram.bodies import Upload
from sandbox.simulators.telegram.model import Connection, Group, Json, Membership, Person
from sandbox.simulators.telegram.updates import UpdateQueue
from sandbox.simulators.telegram.world import Bot, World

_ADMIN = """
    can_be_edited is_anonymous can_manage_chat can_delete_messages can_manage_video_chats can_restrict_members
    can_promote_members can_change_info can_invite_users can_post_stories can_edit_stories can_delete_stories
"""
_RESTRICTED = """
    is_member can_send_messages can_send_audios can_send_documents can_send_photos can_send_videos
    can_send_video_notes can_send_voice_notes can_send_polls can_send_other_messages can_add_web_page_previews
    can_react_to_messages can_edit_tag can_change_info can_invite_users can_pin_messages can_manage_topics
"""


def chat_member(bot: Bot, status: str) -> Json:
    """The `ChatMember` object of the bot."""
    member: Json = {"status": status, "user": bot.user}
    if status == "administrator":
        member |= dict.fromkeys(_ADMIN.split(), True)
    elif status == "restricted":
        member |= dict.fromkeys(_RESTRICTED.split(), False) | {"until_date": 0}
    elif status == "kicked":
        member["until_date"] = 0
    return member


class Setup:
    """Operations that need no customer. Each returns JSON; raises `ControlError` for what does not exist."""

    def __init__(self, world: World) -> None:
        self._world = world

    def find_bot(self, bot_id: int) -> Bot:
        """The bot."""
        if bot_id not in self._world.bots:
            raise ControlError(404, "no such bot")
        return self._world.bots[bot_id]

    def find_person(self, person_id: int) -> Person:
        """The person."""
        if person_id not in self._world.people:
            raise ControlError(404, "no such person")
        return self._world.people[person_id]

    def find_group(self, chat_id: int) -> Group:
        """The group."""
        if chat_id not in self._world.groups:
            raise ControlError(404, "no such group")
        return self._world.groups[chat_id]

    def find_connection(self, connection_id: str) -> Connection:
        """The business connection."""
        if connection_id not in self._world.connections:
            raise ControlError(404, "no such business connection")
        return self._world.connections[connection_id]

    def bot(
        self,
        token: str = "",
        first_name: str = "Support",
        username: str = "",
        open_to_all: bool = False,
        privacy_mode: bool = False,
    ) -> Json:
        """Create a bot; the same token again returns the same bot."""
        if token in self._world.tokens:
            bot = self._world.tokens[token]
            return {"id": bot.id, "token": token, "username": bot.username}
        number = token.partition(":")[0] or str(110_000_000 + self._world.next_id())
        if not number.isdigit():
            raise ControlError(400, "a token is <digits>:<secret>")
        token = token or f"{number}:{secrets.token_urlsafe(26)}"
        bot_id = int(number)
        if bot_id in self._world.bots:  # a new token for a known bot revokes the old one
            bot = self._world.bots[bot_id]
            self._world.tokens.pop(bot.token, None)
            bot.token = token
        else:
            updates = UpdateQueue(bot_id, self._world, next_id=100_000_000 + bot_id % 1_000_000)
            name = username or f"support_{bot_id}_bot"
            bot = Bot(bot_id, token, first_name, name, updates, open_to_all, privacy_mode)
        self._world.bots[bot_id] = self._world.tokens[token] = bot
        return {"id": bot_id, "token": token, "username": bot.username}

    def revoke(self, bot_id: int) -> None:
        """The owner revoked the token: every call answers 401."""
        self._world.tokens.pop(self.find_bot(bot_id).token, None)

    def person(
        self,
        id: int | None = None,
        first_name: str = "Ada",
        last_name: str = "",
        username: str = "",
        language_code: str = "",
        forbids_voice: bool = False,
        photo: InstanceOf[Upload] | None = None,
    ) -> Json:
        """Create a person."""
        given = {} if id is None else {"id": id}
        if id is not None and (id <= 0 or id in self._world.people or id in self._world.bots):
            raise ControlError(409, "this id is taken or not positive")
        person = self._world.add_person(
            **given,
            first_name=first_name,
            last_name=last_name,
            username=username,
            language_code=language_code,
            forbids_voice=forbids_voice,
            photos=[photo] if photo else [],
        )
        return person.as_user()

    def deactivate(self, person_id: int) -> None:
        """The account is deleted."""
        self.find_person(person_id).deactivated = True

    def group(
        self,
        title: str,
        type: Literal["group", "supergroup", "channel"] = "supergroup",
        username: str = "",
        is_forum: bool = False,
        bot_ids: list[int] | None = None,
    ) -> Json:
        """Create a group; the bots are its administrators."""
        number = self._world.next_id()
        chat_id = -number - 4_000_000 if type == "group" else -1_001_000_000_000 - number
        group = Group(chat_id, type, title, username, set() if is_forum else None)
        self._world.groups[chat_id] = group
        for bot_id in bot_ids or []:
            group.bots[self.find_bot(bot_id).id] = "administrator"
        return group.as_chat()

    def topic(self, chat_id: int, thread_id: int, open: bool = True) -> None:
        """Open or delete a forum topic."""
        topics = self.find_group(chat_id).topics
        if topics is None:
            raise ControlError(400, "the group is no forum")
        (topics.add if open else topics.discard)(thread_id)

    def membership(self, bot_id: int, chat_id: int, status: Membership, by: int | None = None) -> None:
        """Add, restrict, remove or ban a bot; it hears of it as `my_chat_member`."""
        bot, group = self.find_bot(bot_id), self.find_group(chat_id)
        before, group.bots[bot.id] = group.bots.get(bot.id, "left"), status
        actor = self.find_person(by) if by is not None else Person(777_000, "Telegram")
        self._announce_member(bot, group.as_chat(), actor, before, status)

    def delete_group(self, chat_id: int) -> None:
        """The group is deleted for everyone."""
        self.find_group(chat_id).deleted = True

    def migrate(self, chat_id: int) -> Json:
        """Upgrade a group to a supergroup; both service messages go out."""
        old = self.find_group(chat_id)
        new = self.find_group(self.group(old.title, bot_ids=list(old.bots))["id"])
        old.migrated_to = new.id
        for bot_id in old.bots:
            self._service_message(bot_id, old, {"migrate_to_chat_id": new.id})
            self._service_message(bot_id, new, {"migrate_from_chat_id": old.id})
        return new.as_chat()

    def _service_message(self, bot_id: int, group: Group, fields: Json) -> None:
        conversation = self._world.conversation(bot_id, group)
        wire = {
            "message_id": next(conversation.message_ids),
            "from": Person(777_000, "Telegram").as_user(),
            "chat": conversation.chat,
            "date": int(self._world.clock.now()),
            **fields,
        }
        self.find_bot(bot_id).updates.emit("message", wire, f"{group.id}:messages")

    def _announce_member(self, bot: Bot, chat: Json, actor: Person, before: str, after: str) -> None:
        payload = {
            "chat": chat,
            "from": actor.as_user(),
            "date": int(self._world.clock.now()),
            "old_chat_member": chat_member(bot, before),
            "new_chat_member": chat_member(bot, after),
        }
        bot.updates.emit("my_chat_member", payload, f"{chat['id']}:member")

    def block(self, bot_id: int, person_id: int, blocked: bool = True) -> None:
        """The person blocks (or unblocks) the bot in their private chat."""
        bot, person = self.find_bot(bot_id), self.find_person(person_id)
        conversation = self._world.conversation(bot_id, person)
        wanted: Literal["blocked", "open"] = "blocked" if blocked else "open"
        if conversation.access != wanted:
            conversation.access = wanted
            states = ("member", "kicked") if blocked else ("kicked", "member")
            self._announce_member(bot, conversation.chat, person, *states)
            self._world.announce("access", conversation, access=wanted)

    def connection(self, bot_id: int, owner_id: int, rights: list[str] | None = None, id: str = "") -> Json:
        """The owner of a business account connects the bot; without `rights` it may do everything with messages."""
        usual = ["can_reply", "can_read_messages", "can_delete_sent_messages", "can_delete_all_messages"]
        connection = Connection(
            id=id or secrets.token_urlsafe(16),
            bot_id=self.find_bot(bot_id).id,
            owner=self.find_person(owner_id),
            date=int(self._world.clock.now()),
            rights=dict.fromkeys(usual if rights is None else rights, True),
        )
        self._world.connections[connection.id] = connection
        return self._announce_connection(connection)

    def change_connection(
        self, connection_id: str, is_enabled: bool | None = None, rights: list[str] | None = None
    ) -> Json:
        """Disable, enable, or grant other rights."""
        connection = self.find_connection(connection_id)
        if is_enabled is not None:
            connection.is_enabled = is_enabled
        if rights is not None:
            connection.rights = dict.fromkeys(rights, True)
        return self._announce_connection(connection)

    def _announce_connection(self, connection: Connection) -> Json:
        update = connection.as_update()
        bot = self.find_bot(connection.bot_id)
        bot.updates.emit("business_connection", update, f"{connection.owner.id}:connection")
        return update
