"""The error table: every description Telegram is known to send, what it means, and what is tried instead."""

from __future__ import annotations

import pytest

from services.telegram.api.errors import RULES, Answer, Fallback, failure_of, fallback_of, rule_of
from services.telegram.send.fallbacks import adjust
from shared.channel import Call, Failure
from shared.contract.commands import File
from shared.contract.errors import ErrorCode
from shared.contract.events import Health
from shared.contract.statuses import WarningCode

E = ErrorCode

DESCRIBED = [
    (401, "Unauthorized", E.ACCOUNT_REAUTH_REQUIRED),
    (401, "Unauthorized: invalid token specified", E.ACCOUNT_REAUTH_REQUIRED),
    (404, "Not Found", E.ACCOUNT_REAUTH_REQUIRED),
    (404, "Not Found: method not found", E.UNSUPPORTED_BY_CHANNEL),
    (421, "Misdirected Request: unallowed token specified", E.ACCOUNT_DISCONNECTED),
    (409, "Conflict: terminated by other getUpdates request; make sure…", E.ACCOUNT_DISCONNECTED),
    (409, "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook", E.ACCOUNT_DISCONNECTED),
    (409, "Conflict: terminated by setWebhook request", E.PROVIDER_UNAVAILABLE),
    (403, "Forbidden: bot was blocked by the user", E.RECIPIENT_BLOCKED),
    (403, "Forbidden: user is deactivated", E.RECIPIENT_UNKNOWN),
    (403, "Forbidden: bot can't initiate conversation with a user", E.CANNOT_INITIATE),
    (403, "Forbidden: bot can't send messages to bots", E.RECIPIENT_UNKNOWN),
    (403, "Forbidden: the bot can't send messages to the bot", E.RECIPIENT_UNKNOWN),
    (403, "Forbidden: bot was kicked from the supergroup chat", E.RECIPIENT_BLOCKED),
    (403, "Forbidden: bot is not a member of the channel chat", E.RECIPIENT_BLOCKED),
    (403, "Forbidden: the group chat was deleted", E.RECIPIENT_UNKNOWN),
    (403, "Forbidden: something new", E.RECIPIENT_BLOCKED),
    (400, "Bad Request: CHAT_WRITE_FORBIDDEN", E.RECIPIENT_BLOCKED),
    (400, "Bad Request: chat not found", E.RECIPIENT_UNKNOWN),
    (400, "Bad Request: PEER_ID_INVALID", E.RECIPIENT_UNKNOWN),
    (400, "Bad Request: group chat was upgraded to a supergroup chat", E.RECIPIENT_UNKNOWN),
    (400, "Bad Request: chat_id is empty", E.INVALID_COMMAND),
    (400, "Bad Request: message thread not found", E.REPLY_TARGET_UNKNOWN),
    (400, "Bad Request: not enough rights to send photos to the chat", E.CONTENT_REJECTED),
    (400, "Bad Request: have no write access to the chat", E.RECIPIENT_BLOCKED),
    (400, "Bad Request: message to be replied not found", E.REPLY_TARGET_UNKNOWN),
    (400, "Bad Request: QUOTE_TEXT_INVALID", E.CONTENT_REJECTED),
    (400, "Bad Request: message is too long", E.TEXT_TOO_LONG),
    (400, "Bad Request: message caption is too long", E.TEXT_TOO_LONG),
    (400, "Bad Request: message text is empty", E.CONTENT_REJECTED),
    (400, "Bad Request: text must be non-empty", E.CONTENT_REJECTED),
    (400, "Bad Request: can't parse entities: Unsupported start tag", E.CONTENT_REJECTED),
    (400, "Bad Request: ENTITIES_TOO_LONG", E.CONTENT_REJECTED),
    (400, "Bad Request: ENTITY_TEXT_URL_INVALID", E.CONTENT_REJECTED),
    (400, "Bad Request: BUTTON_URL_INVALID", E.CONTENT_REJECTED),
    (400, "Bad Request: reply markup is too long", E.CONTENT_REJECTED),
    (400, "Bad Request: wrong file identifier/HTTP URL specified", E.FILE_UNAVAILABLE),
    (400, "Bad Request: wrong file_id or the file is temporarily unavailable", E.FILE_UNAVAILABLE),
    (400, "Bad Request: failed to get HTTP URL content", E.FILE_UNAVAILABLE),
    (400, "Bad Request: WEBPAGE_CURL_FAILED", E.FILE_UNAVAILABLE),
    (400, "Bad Request: PHOTO_INVALID_DIMENSIONS", E.FILE_TYPE_UNSUPPORTED),
    (400, "Bad Request: IMAGE_PROCESS_FAILED", E.FILE_TYPE_UNSUPPORTED),
    (400, "Bad Request: Photo has unsupported extension. Use one of .jpg", E.FILE_TYPE_UNSUPPORTED),
    (400, "Bad Request: VOICE_MESSAGES_FORBIDDEN", E.CONTENT_REJECTED),
    (400, "Bad Request: document can't be mixed with other media types", E.CONTENT_REJECTED),
    (400, "Bad Request: too many messages to send as an album", E.TOO_MANY_FILES),
    (400, "Bad Request: file is too big", E.FILE_TOO_LARGE),
    (400, "Bad Request: file must be non-empty", E.FILE_UNAVAILABLE),
    (413, "", E.FILE_TOO_LARGE),
    (400, "Bad Request: message to edit not found", E.MESSAGE_UNKNOWN),
    (400, "Bad Request: message can't be edited", E.CONTENT_REJECTED),
    (400, "Bad Request: message can't be deleted for everyone", E.CONTENT_REJECTED),
    (400, "Bad Request: BUSINESS_PEER_USAGE_MISSING", E.WINDOW_CLOSED),
    (400, "Bad Request: BUSINESS_PEER_INVALID", E.RECIPIENT_UNKNOWN),
    (400, "Bad Request: business connection not found", E.RECIPIENT_UNKNOWN),
    (400, "Bad Request: FROZEN_METHOD_INVALID", E.ACCOUNT_DISCONNECTED),
    (400, "Bad Request: REACTION_INVALID", E.CONTENT_REJECTED),
    (500, "Internal Server Error: restart", E.PROVIDER_UNAVAILABLE),
    (500, "sent message was immediately deleted and can't be returned", E.CONTENT_REJECTED),
    (400, "Bad Request: something nobody has described", E.CONTENT_REJECTED),
    (400, "Bad Request: group chat was migrated to a supergroup chat", E.RECIPIENT_UNKNOWN),
    (400, "Bad Request: group is deactivated", E.RECIPIENT_UNKNOWN),
    (400, "Bad Request: group chat was deactivated", E.RECIPIENT_UNKNOWN),
    (400, "Bad Request: have no rights to send a message", E.RECIPIENT_BLOCKED),
    (400, "Bad Request: CHANNEL_PRIVATE", E.RECIPIENT_BLOCKED),
    (400, "Bad Request: CHAT_RESTRICTED", E.RECIPIENT_BLOCKED),
    (400, "Bad Request: CHAT_ADMIN_REQUIRED", E.RECIPIENT_BLOCKED),
    (400, "Bad Request: USER_BANNED_IN_CHANNEL", E.RECIPIENT_BLOCKED),
    (400, "Bad Request: ALLOW_PAYMENT_REQUIRED_25", E.RECIPIENT_BLOCKED),
    (400, "Bad Request: CHAT_SEND_PHOTOS_FORBIDDEN", E.CONTENT_REJECTED),
    (403, "Forbidden: MESSAGE_DELETE_FORBIDDEN", E.CONTENT_REJECTED),
    (403, "Forbidden: VOICE_MESSAGES_FORBIDDEN", E.CONTENT_REJECTED),
    (400, "Bad Request: user restricted receiving of voice note messages", E.CONTENT_REJECTED),
    (
        400,
        "Bad Request: inline keyboard button URL 'http://localhost:3000' is invalid: Wrong HTTP URL",
        E.CONTENT_REJECTED,
    ),
    (400, "Bad Request: REPLY_MARKUP_TOO_LONG", E.CONTENT_REJECTED),
    (400, "Bad Request: REPLY_TO_INVALID", E.REPLY_TARGET_UNKNOWN),
    (400, "Bad Request: MESSAGE_EMPTY", E.CONTENT_REJECTED),
    (400, "Bad Request: wrong file id", E.FILE_UNAVAILABLE),
    (400, "Bad Request: invalid file id", E.FILE_UNAVAILABLE),
    (400, "Bad Request: unsupported URL protocol", E.FILE_UNAVAILABLE),
    (400, "Bad Request: Too much messages to send as an album", E.TOO_MANY_FILES),
]


@pytest.mark.parametrize(("status", "description", "code"), DESCRIBED, ids=[f"{s}-{d[:40]}" for s, d, _ in DESCRIBED])
def test_described_errors(status: int, description: str, code: ErrorCode) -> None:
    failure = failure_of(Answer(status, description), "sendMessage")
    assert failure is not None
    assert (failure.code, failure.certain) == (code, True)


@pytest.mark.parametrize(
    "description",
    [
        "Bad Request: message is not modified: specified new message content and reply markup are exactly the same",
        "Bad Request: message to delete not found",
        "Bad Request: query is too old and response timeout expired or query ID is invalid",
    ],
)
def test_what_was_asked_for_holds_already(description: str) -> None:
    assert failure_of(Answer(400, description), "editMessageText") is None


def test_waits_are_read_from_parameters_or_from_the_text() -> None:
    limited = failure_of(Answer(429, "Too Many Requests: retry after 7", 7.0), "sendMessage")
    leaked = failure_of(Answer(400, "Bad Request: FLOOD_WAIT, retry after 31"), "sendMessage")
    bare = failure_of(Answer(429, ""), "answerCallbackQuery")
    assert limited and leaked and bare
    assert (limited.code, limited.retry_after, limited.scope) == (E.RATE_LIMITED, 7.0, "pair")
    assert (leaked.code, leaked.retry_after) == (E.RATE_LIMITED, 31.0)
    assert (bare.code, bare.retry_after, bare.scope) == (E.RATE_LIMITED, None, "account")


def test_the_error_of_an_albums_item_is_the_albums() -> None:
    text = 'Bad Request: Failed to send message #2 with the error message "PHOTO_INVALID_DIMENSIONS"'
    failure = failure_of(Answer(400, text), "sendMediaGroup")
    assert failure and failure.code is E.FILE_TYPE_UNSUPPORTED


def test_only_a_refused_token_marks_the_account() -> None:
    marked = {rule.pattern for rule in RULES if rule.health is Health.REAUTH_REQUIRED}
    assert marked == {"unauthorized", "not found"}
    for status in (400, 403, 429, 500, 502):
        failure = failure_of(Answer(status, "whatever"), "sendMessage")
        assert failure and failure.health is None


def test_an_unknown_description_is_told_without_what_may_be_personal() -> None:
    text = 'Bad Request: can\'t find "Ida Berg" at ida@example.dk in chat 123456789 of https://x.dk/y'
    failure = failure_of(Answer(400, text), "sendMessage")
    assert failure and failure.detail
    assert not any(secret in failure.detail for secret in ("Ida", "example", "123456789", "x.dk"))
    assert "can't find" in failure.detail


def test_every_pattern_is_reached() -> None:
    # A rule behind a broader one would never be found.
    for rule in RULES:
        assert rule_of(Answer(rule.status or 400, f"Error: {rule.pattern}")) is rule, rule.pattern


def test_every_fallback_is_used() -> None:
    assert {rule.fallback for rule in RULES} - {None} == set(Fallback)


def _failed(description: str, **facts: object) -> Failure:
    failure = failure_of(Answer(400, description, migrate_to_chat_id=facts.get("moved")), "sendMessage")  # type: ignore[arg-type]
    assert failure is not None
    return failure


REPLY = {"message_id": 5, "allow_sending_without_reply": True, "quote": "half"}
PHOTO = File(blob="b", filename="a.jpg", mime_type="image/jpeg")
SENT = Call(
    "sendMessage",
    {
        "chat_id": 1,
        "text": "t",
        "reply_parameters": REPLY,
        "reply_markup": {"inline_keyboard": []},
        "entities": [{"type": "bold", "offset": 0, "length": 1}],
        "message_thread_id": 9,
    },
)


@pytest.mark.parametrize(
    ("description", "gone", "warning"),
    [
        ("message to be replied not found", "reply_parameters", WarningCode.REPLY_TO_DROPPED),
        ("can't parse entities: x", "entities", WarningCode.FORMATTING_DROPPED),
        ("BUTTON_URL_INVALID", "reply_markup", WarningCode.BUTTONS_DROPPED),
        (
            "inline keyboard button URL 'localhost' is invalid: Wrong HTTP URL",
            "reply_markup",
            WarningCode.BUTTONS_DROPPED,
        ),
        ("REPLY_TO_INVALID", "reply_parameters", WarningCode.REPLY_TO_DROPPED),
        ("message thread not found", "message_thread_id", WarningCode.THREAD_DROPPED),
    ],
)
def test_sent_again_without_what_was_refused(description: str, gone: str, warning: WarningCode) -> None:
    adjusted = adjust(SENT, _failed(description))
    assert adjusted is not None
    assert set(SENT.params) - set(adjusted.params) == {gone}
    assert [w.code for w in adjusted.warnings] == [warning]
    # What is gone cannot be given up a second time.
    assert adjust(adjusted, _failed(description)) is None


def test_sent_again_without_the_quote() -> None:
    adjusted = adjust(SENT, _failed("QUOTE_TEXT_INVALID"))
    assert adjusted and "quote" not in adjusted.params["reply_parameters"]
    assert adjusted.params["reply_parameters"]["message_id"] == 5


def test_a_strict_reply_is_not_given_up() -> None:
    strict = Call("sendMessage", {"reply_parameters": {"message_id": 5, "allow_sending_without_reply": False}})
    assert adjust(strict, _failed("message to be replied not found")) is None


def test_sent_to_where_the_group_has_gone() -> None:
    adjusted = adjust(SENT, _failed("group chat was upgraded to a supergroup chat", moved=-100123))
    assert adjusted and adjusted.params["chat_id"] == -100123
    assert adjust(SENT, _failed("group chat was upgraded to a supergroup chat")) is None


def test_a_refused_photo_goes_as_document() -> None:
    call = Call("sendPhoto", {"chat_id": 1, "caption": "c", "has_spoiler": True}, {"photo": PHOTO})
    adjusted = adjust(call, _failed("PHOTO_INVALID_DIMENSIONS"))
    assert adjusted and (adjusted.method, adjusted.files) == ("sendDocument", {"document": PHOTO})
    assert adjusted.params == {"chat_id": 1, "caption": "c", "disable_content_type_detection": True}
    assert [w.code for w in adjusted.warnings] == [WarningCode.SENT_AS_DOCUMENT]


@pytest.mark.parametrize(
    ("mime_type", "method", "kept"), [("audio/mpeg", "sendAudio", True), ("audio/ogg", "sendDocument", False)]
)
def test_a_refused_voice_goes_as_audio_or_document(mime_type: str, method: str, kept: bool) -> None:
    call = Call("sendVoice", {"chat_id": 1, "duration": 3}, {"voice": File(blob="b", mime_type=mime_type)})
    adjusted = adjust(call, _failed("VOICE_MESSAGES_FORBIDDEN"))
    assert adjusted and adjusted.method == method
    assert ("duration" in adjusted.params) is kept


def test_a_refused_video_note_goes_as_video() -> None:
    call = Call("sendVideoNote", {"chat_id": 1, "duration": 3, "length": 384}, {"video_note": PHOTO})
    adjusted = adjust(call, _failed("user restricted receiving of video messages"))
    assert adjusted and (adjusted.method, adjusted.params) == ("sendVideo", {"chat_id": 1, "duration": 3})


def test_a_stale_file_id_is_replaced_by_the_bytes() -> None:
    call = Call("sendPhoto", {"chat_id": 1, "photo": "AgACold"}, {"photo": PHOTO})
    adjusted = adjust(call, _failed("wrong file identifier/HTTP URL specified"))
    assert adjusted and "photo" not in adjusted.params
    assert adjust(Call("sendPhoto", {"photo": "AgACold"}), _failed("wrong file_id")) is None


def test_the_formatting_of_an_albums_captions_is_given_up() -> None:
    media = [{"type": "photo", "media": "attach://file0", "caption": "c", "caption_entities": [{}]}]
    adjusted = adjust(Call("sendMediaGroup", {"media": media}), _failed("ENTITIES_TOO_LONG"))
    assert adjusted and "caption_entities" not in adjusted.params["media"][0]


def test_an_edit_changes_between_text_and_caption() -> None:
    text = Call("editMessageText", {"text": "t", "entities": [], "link_preview_options": {}}, parts=0)
    caption = adjust(text, _failed("there is no text in the message to edit"))
    assert caption and (caption.method, caption.params) == (
        "editMessageCaption",
        {"caption": "t", "caption_entities": []},
    )
    back = adjust(caption, _failed("there is no caption in the message to edit"))
    assert back and (back.method, back.params) == ("editMessageText", {"text": "t", "entities": []})


def test_an_uncertain_failure_is_never_adjusted() -> None:
    unsure = Failure(ErrorCode.REPLY_TARGET_UNKNOWN, certain=False, provider_code="400 message to be replied not found")
    assert fallback_of(unsure) is Fallback.WITHOUT_REPLY
    assert adjust(SENT, unsure) is None
