"""The Bot API's errors as data: what each means, whether the message was surely not sent, what to try instead.

`error_code` is "subject to change" (core.telegram.org/bots/api#making-requests), so a rule is found by HTTP status
and a part of the description, compared without case. Sources: the Bot API server's Client.cpp, TDLib's
MessagesManager.cpp and MessageContent.cpp, core.telegram.org/method/messages.sendMessage.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import NamedTuple

from shared.channel import Failure
from shared.contract.errors import ErrorCode
from shared.contract.events import Health
from shared.kit.failures import unanswered
from shared.policy.words import provider_words


class Fallback(Enum):
    """Another way to send what was refused."""

    WITHOUT_REPLY = auto()
    WITHOUT_QUOTE = auto()
    WITHOUT_ENTITIES = auto()
    WITHOUT_BUTTONS = auto()
    WITHOUT_THREAD = auto()
    AS_DOCUMENT = auto()
    WITHOUT_VOICE = auto()
    UPLOAD = auto()
    MIGRATE = auto()
    EDIT_CAPTION = auto()
    EDIT_TEXT = auto()


class Rule(NamedTuple):
    """One error. `done` marks what is no failure: the state asked for holds already."""

    status: int
    pattern: str
    code: ErrorCode
    sentence: str | None = None
    fallback: Fallback | None = None
    health: Health | None = None
    scope: str = "pair"
    done: bool = False


_E = ErrorCode

RULES: tuple[Rule, ...] = (
    # The account.
    Rule(401, "unauthorized", _E.ACCOUNT_REAUTH_REQUIRED, health=Health.REAUTH_REQUIRED, scope="account"),
    Rule(404, "method not found", _E.UNSUPPORTED_BY_CHANNEL, "This Bot API server does not know the method."),
    Rule(404, "not found", _E.ACCOUNT_REAUTH_REQUIRED, health=Health.REAUTH_REQUIRED, scope="account"),
    Rule(
        421,
        "misdirected",
        _E.ACCOUNT_DISCONNECTED,
        "This Bot API server does not serve the bot.",
        health=Health.DISCONNECTED,
        scope="account",
    ),
    Rule(
        409,
        "webhook is active",
        _E.ACCOUNT_DISCONNECTED,
        "A webhook is registered for the bot: somebody else may be using its token.",
        health=Health.DEGRADED,
        scope="account",
    ),
    Rule(
        409,
        "terminated by other getupdates",
        _E.ACCOUNT_DISCONNECTED,
        "Somebody else fetches the bot's updates.",
        health=Health.DEGRADED,
        scope="account",
    ),
    Rule(409, "terminated by setwebhook", _E.PROVIDER_UNAVAILABLE, scope="account"),
    Rule(409, "terminated by other setwebhook", _E.PROVIDER_UNAVAILABLE, scope="account"),
    Rule(
        400,
        "frozen_method_invalid",
        _E.ACCOUNT_DISCONNECTED,
        "The bot is frozen.",
        health=Health.DISCONNECTED,
        scope="account",
    ),
    Rule(
        400,
        "logged out",
        _E.ACCOUNT_DISCONNECTED,
        "The bot has moved to another Bot API server.",
        health=Health.DISCONNECTED,
        scope="account",
    ),
    Rule(400, "bad webhook", _E.INVALID_COMMAND, "Telegram does not accept the webhook address."),
    # The recipient.
    Rule(403, "bot was blocked by the user", _E.RECIPIENT_BLOCKED),
    Rule(400, "user_is_blocked", _E.RECIPIENT_BLOCKED),
    Rule(403, "user is deactivated", _E.RECIPIENT_UNKNOWN, "The account of the contact was deleted."),
    Rule(400, "input_user_deactivated", _E.RECIPIENT_UNKNOWN, "The account of the contact was deleted."),
    Rule(400, "deactivated", _E.RECIPIENT_UNKNOWN, "The group was deleted."),
    Rule(403, "can't initiate conversation", _E.CANNOT_INITIATE),
    Rule(403, "can't send messages to bots", _E.RECIPIENT_UNKNOWN, "Bots cannot write to bots."),
    Rule(403, "can't send messages to the bot", _E.RECIPIENT_UNKNOWN, "Bots cannot write to bots."),
    Rule(403, "bot was kicked", _E.RECIPIENT_BLOCKED, "The bot was removed from the chat."),
    Rule(403, "bot is not a member", _E.RECIPIENT_BLOCKED, "The bot is not a member of the chat."),
    Rule(403, "group chat was deleted", _E.RECIPIENT_UNKNOWN, "The group was deleted."),
    # Codes that some servers answer with 403 concern the call, not the chat.
    Rule(403, "message_delete_forbidden", _E.CONTENT_REJECTED, "The bot may not delete this message."),
    Rule(403, "voice_messages_forbidden", _E.CONTENT_REJECTED, "No voice messages, please.", Fallback.WITHOUT_VOICE),
    Rule(403, "", _E.RECIPIENT_BLOCKED, "The bot may not write to this chat."),
    Rule(400, "chat_write_forbidden", _E.RECIPIENT_BLOCKED, "The bot may not write to this chat."),
    Rule(400, "have no write access to the chat", _E.RECIPIENT_BLOCKED, "The bot may not write to this chat."),
    Rule(400, "have no rights to send a message", _E.RECIPIENT_BLOCKED, "The bot may not write to this chat."),
    Rule(400, "chat_restricted", _E.RECIPIENT_BLOCKED, "The bot may not write to this chat."),
    Rule(400, "channel_private", _E.RECIPIENT_BLOCKED, "The bot is not a member of the chat."),
    Rule(400, "user_banned_in_channel", _E.RECIPIENT_BLOCKED, "The bot may not write to groups and channels."),
    Rule(400, "chat_admin_required", _E.RECIPIENT_BLOCKED, "The bot needs administrator rights in the chat."),
    Rule(400, "allow_payment_required", _E.RECIPIENT_BLOCKED, "The contact takes messages only for Stars."),
    Rule(400, "need administrator rights", _E.RECIPIENT_BLOCKED, "The bot needs administrator rights in the chat."),
    Rule(400, "not enough rights", _E.CONTENT_REJECTED, "The chat does not let the bot send this."),
    Rule(400, "chat_send_", _E.CONTENT_REJECTED, "The chat does not let the bot send this."),
    Rule(
        400,
        "upgraded to a supergroup",
        _E.RECIPIENT_UNKNOWN,
        "The group has become a supergroup.",
        Fallback.MIGRATE,
    ),
    Rule(
        400,
        "migrated to a supergroup",
        _E.RECIPIENT_UNKNOWN,
        "The group has become a supergroup.",
        Fallback.MIGRATE,
    ),
    Rule(400, "chat not found", _E.RECIPIENT_UNKNOWN),
    Rule(400, "user not found", _E.RECIPIENT_UNKNOWN),
    Rule(400, "peer_id_invalid", _E.RECIPIENT_UNKNOWN),
    Rule(400, "chat_id is empty", _E.INVALID_COMMAND),
    Rule(400, "chat identifier must be", _E.INVALID_COMMAND),
    # Business chats.
    Rule(400, "business_peer_usage_missing", _E.WINDOW_CLOSED, "The contact has not written in the last 24 hours."),
    Rule(
        400,
        "business_peer_invalid",
        _E.RECIPIENT_UNKNOWN,
        "The business connection does not cover this chat.",
    ),
    Rule(400, "messages must not be sent to self", _E.RECIPIENT_UNKNOWN, "The owner of a connection has no chat."),
    Rule(400, "chat must be a private chat", _E.RECIPIENT_UNKNOWN, "Business connections cover private chats only."),
    Rule(400, "business connection not found", _E.RECIPIENT_UNKNOWN, "The business connection is gone."),
    Rule(400, "business_connection_invalid", _E.RECIPIENT_UNKNOWN, "The business connection is gone."),
    Rule(400, "business_connection_not_allowed", _E.RECIPIENT_BLOCKED, "The business owner does not allow this."),
    Rule(400, "bot_access_forbidden", _E.RECIPIENT_BLOCKED, "The business owner does not allow this."),
    # What has happened already.
    Rule(400, "message is not modified", _E.CONTENT_REJECTED, done=True),
    Rule(400, "message to delete not found", _E.MESSAGE_UNKNOWN, done=True),
    Rule(400, "query is too old", _E.EXPIRED, done=True),
    # The message a call points at.
    Rule(400, "message thread not found", _E.REPLY_TARGET_UNKNOWN, "The topic is gone.", Fallback.WITHOUT_THREAD),
    Rule(400, "topic_deleted", _E.REPLY_TARGET_UNKNOWN, "The topic is gone.", Fallback.WITHOUT_THREAD),
    Rule(400, "topic_closed", _E.CONTENT_REJECTED, "The topic is closed."),
    Rule(400, "message to be replied not found", _E.REPLY_TARGET_UNKNOWN, None, Fallback.WITHOUT_REPLY),
    Rule(400, "replied message not found", _E.REPLY_TARGET_UNKNOWN, None, Fallback.WITHOUT_REPLY),
    Rule(400, "reply message not found", _E.REPLY_TARGET_UNKNOWN, None, Fallback.WITHOUT_REPLY),
    Rule(400, "reply_message_id_invalid", _E.REPLY_TARGET_UNKNOWN, None, Fallback.WITHOUT_REPLY),
    Rule(400, "reply_to_invalid", _E.REPLY_TARGET_UNKNOWN, None, Fallback.WITHOUT_REPLY),
    Rule(400, "quote_text_invalid", _E.CONTENT_REJECTED, "The quote is not in the message.", Fallback.WITHOUT_QUOTE),
    Rule(400, "no text in the message to edit", _E.CONTENT_REJECTED, None, Fallback.EDIT_CAPTION),
    Rule(400, "no caption in the message to edit", _E.CONTENT_REJECTED, None, Fallback.EDIT_TEXT),
    Rule(400, "message to edit not found", _E.MESSAGE_UNKNOWN, "The message to edit is gone."),
    Rule(400, "message to react not found", _E.MESSAGE_UNKNOWN, "The message to react to is gone."),
    Rule(400, "message can't be edited", _E.CONTENT_REJECTED, "The message can no longer be edited."),
    Rule(400, "message can't be deleted", _E.CONTENT_REJECTED, "Bots delete messages of the last 48 hours only."),
    Rule(400, "message_delete_forbidden", _E.CONTENT_REJECTED, "The bot may not delete this message."),
    Rule(400, "message_id_invalid", _E.MESSAGE_UNKNOWN, "The message is not known to Telegram."),
    Rule(400, "message identifier is not specified", _E.MESSAGE_UNKNOWN),
    Rule(400, "reaction_invalid", _E.CONTENT_REJECTED, "The chat does not allow this reaction."),
    # Text.
    Rule(400, "message is too long", _E.TEXT_TOO_LONG),
    Rule(400, "caption is too long", _E.TEXT_TOO_LONG),
    Rule(400, "text is too long", _E.TEXT_TOO_LONG),
    Rule(400, "message_too_long", _E.TEXT_TOO_LONG),
    Rule(400, "media_caption_too_long", _E.TEXT_TOO_LONG),
    Rule(400, "message text is empty", _E.CONTENT_REJECTED, "The text has nothing visible."),
    Rule(400, "text must be non-empty", _E.CONTENT_REJECTED, "The text has nothing visible."),
    Rule(400, "message_empty", _E.CONTENT_REJECTED, "The text has nothing visible."),
    Rule(400, "can't parse entities", _E.CONTENT_REJECTED, "The formatting is invalid.", Fallback.WITHOUT_ENTITIES),
    Rule(400, "can't parse messageentity", _E.CONTENT_REJECTED, "Invalid formatting.", Fallback.WITHOUT_ENTITIES),
    Rule(400, "wrong message entity", _E.CONTENT_REJECTED, "Invalid formatting.", Fallback.WITHOUT_ENTITIES),
    Rule(400, "entities_too_long", _E.CONTENT_REJECTED, "There is too much formatting.", Fallback.WITHOUT_ENTITIES),
    Rule(400, "entity_", _E.CONTENT_REJECTED, "The formatting is invalid.", Fallback.WITHOUT_ENTITIES),
    # Buttons.
    Rule(400, "button_url_invalid", _E.CONTENT_REJECTED, "A button's address is invalid.", Fallback.WITHOUT_BUTTONS),
    Rule(400, "button_data_invalid", _E.CONTENT_REJECTED, "A button's id is invalid.", Fallback.WITHOUT_BUTTONS),
    Rule(400, "button_", _E.CONTENT_REJECTED, "A button is invalid.", Fallback.WITHOUT_BUTTONS),
    Rule(400, "inline keyboard button", _E.CONTENT_REJECTED, "A button is invalid.", Fallback.WITHOUT_BUTTONS),
    Rule(400, "reply_markup_", _E.CONTENT_REJECTED, "The buttons are invalid.", Fallback.WITHOUT_BUTTONS),
    Rule(400, "reply markup is too long", _E.CONTENT_REJECTED, "There are too many buttons.", Fallback.WITHOUT_BUTTONS),
    Rule(400, "can't parse reply keyboard", _E.CONTENT_REJECTED, "Invalid buttons.", Fallback.WITHOUT_BUTTONS),
    Rule(400, "can't parse inline keyboard", _E.CONTENT_REJECTED, "Invalid buttons.", Fallback.WITHOUT_BUTTONS),
    # Files.
    Rule(400, "wrong file identifier", _E.FILE_UNAVAILABLE, None, Fallback.UPLOAD),
    Rule(400, "wrong file id", _E.FILE_UNAVAILABLE, None, Fallback.UPLOAD),
    Rule(400, "wrong file_id", _E.FILE_UNAVAILABLE, None, Fallback.UPLOAD),
    Rule(400, "invalid file_id", _E.FILE_UNAVAILABLE, None, Fallback.UPLOAD),
    Rule(400, "invalid file id", _E.FILE_UNAVAILABLE, None, Fallback.UPLOAD),
    Rule(400, "wrong remote file", _E.FILE_UNAVAILABLE, None, Fallback.UPLOAD),
    Rule(400, "file_id not specified", _E.FILE_UNAVAILABLE, None, Fallback.UPLOAD),
    Rule(400, "file_reference_", _E.FILE_UNAVAILABLE, None, Fallback.UPLOAD),
    Rule(400, "can't use file of type", _E.FILE_TYPE_MISMATCH, None, Fallback.UPLOAD),
    Rule(400, "type of file mismatch", _E.FILE_TYPE_MISMATCH, None, Fallback.UPLOAD),
    Rule(400, "wrong http url", _E.FILE_UNAVAILABLE, None, Fallback.UPLOAD),
    Rule(400, "unsupported url protocol", _E.FILE_UNAVAILABLE, None, Fallback.UPLOAD),
    Rule(400, "failed to get http url content", _E.FILE_UNAVAILABLE, None, Fallback.UPLOAD),
    Rule(400, "wrong type of the web page content", _E.FILE_UNAVAILABLE, None, Fallback.UPLOAD),
    Rule(400, "can't upload file by url", _E.FILE_UNAVAILABLE, None, Fallback.UPLOAD),
    Rule(400, "external_url_invalid", _E.FILE_UNAVAILABLE, None, Fallback.UPLOAD),
    Rule(400, "webpage_", _E.FILE_UNAVAILABLE, None, Fallback.UPLOAD),
    Rule(400, "photo_invalid_dimensions", _E.FILE_TYPE_UNSUPPORTED, None, Fallback.AS_DOCUMENT),
    Rule(400, "image_process_failed", _E.FILE_TYPE_UNSUPPORTED, None, Fallback.AS_DOCUMENT),
    Rule(400, "photo_save_file_invalid", _E.FILE_TYPE_UNSUPPORTED, None, Fallback.AS_DOCUMENT),
    Rule(400, "photo_ext_invalid", _E.FILE_TYPE_UNSUPPORTED, None, Fallback.AS_DOCUMENT),
    Rule(400, "photo has unsupported extension", _E.FILE_TYPE_UNSUPPORTED, None, Fallback.AS_DOCUMENT),
    Rule(400, "too big for a photo", _E.FILE_TOO_LARGE, None, Fallback.AS_DOCUMENT),
    Rule(400, "voice_messages_forbidden", _E.CONTENT_REJECTED, "No voice messages, please.", Fallback.WITHOUT_VOICE),
    Rule(400, "user restricted receiving of", _E.CONTENT_REJECTED, "Not of this kind, please.", Fallback.WITHOUT_VOICE),
    Rule(400, "can't use the media of the specified type in the album", _E.CONTENT_REJECTED),
    Rule(400, "can't be mixed with other media types", _E.CONTENT_REJECTED),
    Rule(400, "can't be used in sendmediagroup", _E.CONTENT_REJECTED),
    Rule(400, "messages to send as an album", _E.TOO_MANY_FILES),
    Rule(400, "group send failed", _E.CONTENT_REJECTED),
    Rule(400, "file is too big", _E.FILE_TOO_LARGE),
    Rule(400, "file must be non-empty", _E.FILE_UNAVAILABLE, "The file is empty."),
    Rule(400, "temporarily unavailable", _E.FILE_UNAVAILABLE),
    Rule(413, "", _E.FILE_TOO_LARGE),
    Rule(400, "wrong parameter action", _E.INVALID_COMMAND),
    # The server.
    Rule(500, "restart", _E.PROVIDER_UNAVAILABLE),
    Rule(500, "immediately deleted", _E.CONTENT_REJECTED, "The message was removed at once by another bot."),
)

_ALBUM_ITEM = re.compile(r'failed to send message #(?P<item>\d+) with the error message "(?P<inner>.*)"', re.DOTALL)
_RETRY_AFTER = re.compile(r"retry after (\d{1,6})")
_READ_MAX = 1000  # of a description; Telegram's own are sentences
_RULES_BY_NAME = {f"{rule.status} {rule.pattern}": rule for rule in RULES}


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with `ok: false`, or a status without one."""

    status: int
    description: str = ""
    retry_after: float | None = None
    migrate_to_chat_id: int | None = None


def rule_of(answer: Answer) -> Rule | None:
    """The rule for an answer, or None for an error nobody has described."""
    description = answer.description[:_READ_MAX].lower()
    if inner := _ALBUM_ITEM.search(description):
        description = inner["inner"]
    for rule in RULES:
        if rule.status == answer.status and rule.pattern in description:
            return rule
    return None


def failure_of(answer: Answer, method: str) -> Failure | None:
    """What an answer means for a call of `method`; None when what was asked for holds already."""
    if answer.status == 429 or (waiting := _RETRY_AFTER.search(answer.description[:_READ_MAX].lower())):
        wait = answer.retry_after or (float(waiting[1]) if answer.status != 429 and waiting else None)
        # Telegram does not say what it limits; a call without a chat can only concern the bot.
        scope = "pair" if is_send(method) or method.startswith("edit") else "account"
        return Failure(ErrorCode.RATE_LIMITED, provider_code=str(answer.status), retry_after=wait, scope=scope)
    rule = rule_of(answer)
    if rule is None:
        return _undescribed(answer, method)
    if rule.done:
        return None
    facts = {} if answer.migrate_to_chat_id is None else {"migrate_to_chat_id": answer.migrate_to_chat_id}
    facts |= _album_item(answer)
    return Failure(
        rule.code,
        provider_code=f"{rule.status} {rule.pattern}".strip(),
        detail=rule.sentence,
        scope=rule.scope,
        health=rule.health,
        facts=facts,
    )


def _undescribed(answer: Answer, method: str) -> Failure:
    code = str(answer.status)
    if answer.status >= 500:
        return replace(unanswered(code, sends=is_send(method)), retry_after=answer.retry_after)
    if answer.status == 409:
        return Failure(ErrorCode.ACCOUNT_DISCONNECTED, provider_code=code, health=Health.DEGRADED, scope="account")
    detail = f"Telegram refused it: {sanitised(answer.description)}" if answer.description else None
    return Failure(ErrorCode.CONTENT_REJECTED, provider_code=code, detail=detail, facts=_album_item(answer))


def _album_item(answer: Answer) -> dict[str, int]:
    """Which file of an album was refused, from 1."""
    found = _ALBUM_ITEM.search(answer.description[:_READ_MAX].lower())
    return {"album_item": int(found["item"])} if found else {}


def is_send(method: str) -> bool:
    """Whether the method makes a message: made twice, the contact sees two."""
    return method.startswith("send") and method != "sendChatAction"


def sanitised(description: str) -> str:
    """A description without what may be personal."""
    return provider_words(description.removeprefix("Bad Request: "))


def fallback_of(failure: Failure) -> Fallback | None:
    """What to try after a failure that `failure_of` made."""
    rule = _RULES_BY_NAME.get(failure.provider_code or "")
    return rule.fallback if rule else None
