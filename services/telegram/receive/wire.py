"""Telegram's updates as they come: only the fields we read, and no value that could make reading fail.

Every field may be absent or of the wrong type; it is then None. Payloads differ by ten years of Bot API versions,
so nothing is required.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, OnErrorOmit
from pydantic_core import CoreSchema, core_schema

T = TypeVar("T")


class _NoneOnError:
    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_default_schema(handler(source), default=None, on_error="default")


Loose = Annotated[T | None, _NoneOnError()]
Id = Loose[Annotated[int, Field(ge=-(2**63), lt=2**63)]]
Moment = Loose[float]  # Unix time in seconds


class Wire(BaseModel):
    """A piece of an update; numbers become text where text is due."""

    model_config = ConfigDict(coerce_numbers_to_str=True, allow_inf_nan=False, extra="ignore")


class User(Wire):
    id: Id = None
    is_bot: Loose[bool] = None
    first_name: Loose[str] = None
    last_name: Loose[str] = None
    username: Loose[str] = None
    language_code: Loose[str] = None


class Chat(Wire):
    id: Id = None
    type: Loose[str] = None
    title: Loose[str] = None
    username: Loose[str] = None
    first_name: Loose[str] = None
    last_name: Loose[str] = None


class Entity(Wire):
    """`offset` and `length` in UTF-16 code units."""

    type: Loose[str] = None
    offset: Id = None
    length: Id = None
    url: Loose[str] = None
    user: Loose[User] = None
    language: Loose[str] = None
    custom_emoji_id: Loose[str] = None


Entities = Loose[list[OnErrorOmit[Entity]]]


class File(Wire):
    """Any file: photo size, video, voice, sticker … `file_size` in bytes, `duration` in seconds.

    `file_id` is what it is fetched by, which changes; `file_unique_id` says that two are the same.
    """

    file_id: Loose[str] = None
    file_unique_id: Loose[str] = None
    file_size: Id = None
    file_name: Loose[str] = None
    performer: Loose[str] = None
    title: Loose[str] = None
    mime_type: Loose[str] = None
    width: Id = None
    height: Id = None
    length: Id = None  # diameter of a video note
    duration: Moment = None
    emoji: Loose[str] = None
    set_name: Loose[str] = None
    is_animated: Loose[bool] = None
    is_video: Loose[bool] = None


Photo = Loose[list[OnErrorOmit[File]]]


class LivePhoto(File):
    photo: Photo = None


class PaidMedia(Wire):
    type: Loose[str] = None
    photo: Photo = None
    video: Loose[File] = None
    live_photo: Loose[LivePhoto] = None


class PaidMediaInfo(Wire):
    star_count: Id = None
    paid_media: Loose[list[OnErrorOmit[PaidMedia]]] = None


class Location(Wire):
    latitude: Loose[float] = None
    longitude: Loose[float] = None
    horizontal_accuracy: Loose[float] = None
    live_period: Id = None


class Venue(Wire):
    location: Loose[Location] = None
    title: Loose[str] = None
    address: Loose[str] = None


class SharedContact(Wire):
    phone_number: Loose[str] = None
    first_name: Loose[str] = None
    last_name: Loose[str] = None
    user_id: Id = None
    vcard: Loose[str] = None


class Origin(Wire):
    """Where a forwarded or externally quoted message was first."""

    type: Loose[str] = None
    date: Moment = None
    sender_user: Loose[User] = None
    sender_user_name: Loose[str] = None
    sender_chat: Loose[Chat] = None
    chat: Loose[Chat] = None
    author_signature: Loose[str] = None


class TextQuote(Wire):
    text: Loose[str] = None


class Story(Wire):
    chat: Loose[Chat] = None
    id: Id = None


class ExternalReply(Wire):
    model_config = ConfigDict(extra="allow")

    origin: Loose[Origin] = None
    chat: Loose[Chat] = None
    message_id: Id = None


class Topic(Wire):
    topic_id: Id = None
    name: Loose[str] = None
    user: Loose[User] = None  # the customer, in a channel's direct messages


class WebAppData(Wire):
    data: Loose[str] = None
    button_text: Loose[str] = None


class InlineButton(Wire):
    text: Loose[str] = None
    callback_data: Loose[str] = None


class Keyboard(Wire):
    inline_keyboard: Loose[list[OnErrorOmit[list[OnErrorOmit[InlineButton]]]]] = None


class Message(Wire):
    """A message of any kind. What is not declared here stays in `model_extra`: service kinds, what we do not model."""

    model_config = ConfigDict(extra="allow")

    message_id: Id = None
    ephemeral_message_id: Id = None
    date: Moment = None
    edit_date: Moment = None
    chat: Loose[Chat] = None
    from_: Loose[User] = Field(default=None, alias="from")
    sender_chat: Loose[Chat] = None
    sender_business_bot: Loose[User] = None
    business_connection_id: Loose[str] = None
    is_topic_message: Loose[bool] = None
    message_thread_id: Id = None
    direct_messages_topic: Loose[Topic] = None
    is_from_offline: Loose[bool] = None
    media_group_id: Loose[str] = None

    reply_to_message: Loose[Message] = None
    external_reply: Loose[ExternalReply] = None
    reply_to_story: Loose[Story] = None
    reply_to_checklist_task_id: Id = None
    reply_to_poll_option_id: Loose[str] = None
    quote: Loose[TextQuote] = None
    forum_topic_created: Loose[Topic] = None
    forward_origin: Loose[Origin] = None
    forward_from: Loose[User] = None
    forward_from_chat: Loose[Chat] = None
    forward_sender_name: Loose[str] = None
    forward_date: Moment = None

    text: Loose[str] = None
    entities: Entities = None
    caption: Loose[str] = None
    caption_entities: Entities = None
    photo: Photo = None
    live_photo: Loose[LivePhoto] = None
    animation: Loose[File] = None
    video: Loose[File] = None
    video_note: Loose[File] = None
    audio: Loose[File] = None
    voice: Loose[File] = None
    document: Loose[File] = None
    sticker: Loose[File] = None
    paid_media: Loose[PaidMediaInfo] = None
    location: Loose[Location] = None
    venue: Loose[Venue] = None
    contact: Loose[SharedContact] = None
    story: Loose[Story] = None
    rich_message: Loose[dict[str, Any]] = None
    web_app_data: Loose[WebAppData] = None
    reply_markup: Loose[Keyboard] = None
    migrate_to_chat_id: Id = None
    migrate_from_chat_id: Id = None


class CallbackQuery(Wire):
    id: Loose[str] = None
    from_: Loose[User] = Field(default=None, alias="from")
    message: Loose[Message] = None
    data: Loose[str] = None
    game_short_name: Loose[str] = None


class Reaction(Wire):
    type: Loose[str] = None
    emoji: Loose[str] = None
    custom_emoji_id: Loose[str] = None


class ReactionUpdate(Wire):
    chat: Loose[Chat] = None
    message_id: Id = None
    user: Loose[User] = None
    actor_chat: Loose[Chat] = None
    date: Moment = None
    old_reaction: Loose[list[OnErrorOmit[Reaction]]] = None
    new_reaction: Loose[list[OnErrorOmit[Reaction]]] = None


class Member(Wire):
    status: Loose[str] = None
    is_member: Loose[bool] = None  # where the status is `restricted`


class MemberUpdate(Wire):
    chat: Loose[Chat] = None
    from_: Loose[User] = Field(default=None, alias="from")
    date: Moment = None
    old_chat_member: Loose[Member] = None
    new_chat_member: Loose[Member] = None


class BusinessConnection(Wire):
    id: Loose[str] = None
    user: Loose[User] = None
    user_chat_id: Id = None
    date: Moment = None
    is_enabled: Loose[bool] = None
    can_reply: Loose[bool] = None  # before `rights`
    rights: Loose[dict[str, Any]] = None


class DeletedMessages(Wire):
    business_connection_id: Loose[str] = None
    chat: Loose[Chat] = None
    message_ids: Loose[list[OnErrorOmit[int]]] = None


class PollAnswer(Wire):
    poll_id: Loose[str] = None
    user: Loose[User] = None
    voter_chat: Loose[Chat] = None
    option_ids: Loose[list[OnErrorOmit[int]]] = None
    option_persistent_ids: Loose[list[OnErrorOmit[str]]] = None


class PaidMediaPurchase(Wire):
    from_: Loose[User] = Field(default=None, alias="from")
    paid_media_payload: Loose[str] = None


class InviteLink(Wire):
    name: Loose[str] = None


class JoinRequest(Wire):
    chat: Loose[Chat] = None
    from_: Loose[User] = Field(default=None, alias="from")
    user_chat_id: Id = None
    date: Moment = None
    bio: Loose[str] = None
    invite_link: Loose[InviteLink] = None
