"""Words that are listed and stay open at the end: more may come, and a reader takes one it does not know for "other".

What the connectors write themselves is listed; beyond that, some of these fields repeat a word of the provider's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from shared.contract.base import OptionalText

KEYWORD = "x-extensible-enum"
"""The JSON Schema keyword with the listed words: validators pass over it, generators make a type of it."""


def _listed(words: Mapping[str, str]) -> Any:
    meanings = " ".join(f"`{word}`: {meaning}." for word, meaning in words.items() if meaning)
    return Field(json_schema_extra={KEYWORD: list(words), **({"description": meanings} if meanings else {})})


def _unexplained(words: str) -> dict[str, str]:
    """Words that say themselves what they mean."""
    return dict.fromkeys(words.split(), "")


WAITS = {
    "not_before": "its time has not come",
    "behind": "an earlier command of the conversation waits",
    "account_busy": "calls of the account hang, and it has no more room",
    "account_unknown": "the account's record has not been read yet",
    "rate_limited": "the provider's rate, or ours for the account, is used up",
    "provider_unavailable": "the provider does not answer",
    "uncertain": "a part in doubt is asked about first",
    "account_reauth_required": "the provider refuses the account's credentials",
    "account_billing_blocked": "the provider wants to be paid",
    "account_disconnected": "the account is not connected",
    "account_sealed": "the account's credentials cannot be opened",
    "state_unavailable": "the connectors' state store is away",
    "blobs_unavailable": "the blob store is away",
    "log_unavailable": "Kafka does not acknowledge",
    "file_not_fetched": "a file of the command cannot be fetched yet",
    "claimed_elsewhere": "another replica has begun it",
}

CONTACT_CHANGES = {
    "aliases_changed": "the provider names the contact by other or more aliases",
    "named_by_provider": "a first message went out, and the provider's answer says who that is",
    "profile": "the provider was asked for the contact's profile",
    "phone_shared": "the contact has shared its own number",
    "contact_shared": "the contact has shared its own card",
    "address_book": "the address book of the business's phone has the contact",
    "address_book_removed": "that address book has it no longer",
    "number_changed": "the contact has another phone number",
    "user_id_changed": "the provider calls the contact by another id",
    "identity_changed": "the contact may be somebody else: `identity_key` is another one",
    "chat_migrated": "the group has become another chat of the provider",
    "conversations_merged": "two conversations are one contact's; `merged_from` names the one that ended",
}

MISSING_CONTENT = {
    "no_content": "the provider tells of the message and leaves its content out",
    "no_type": "it tells neither content nor kind",
    "no_coordinates": "a place without a latitude or longitude",
    "unreadable": "an email that cannot be read within its limits; its raw form is kept",
    "eu_restricted": "the provider shows nothing of contacts in the European Union",
    "paid_media": "media that is to be paid for",
    "story": "a story that only the provider's app shows",
    "poll": "a poll",
    "ephemeral": "a message that disappears",
    "group_message": "a message of a group that the provider does not pass on",
    "companion_message": "written on a device that the provider does not pass messages on from",
    "media_placeholder": "media that is still with the contact's phone",
    "media_unavailable": "media that the provider cannot give out",
    "unknown": "the provider calls the kind unknown",
}

NOTICES = {
    "template.status": "a template was approved, rejected, paused or disabled",
    "template.quality": "the quality of a template changed",
    "template.category": "a template is or will be in another category",
    "template.changed": "the words of a template changed",
    "channel.health": "the provider restricts the account, or lifts a restriction",
    "channel.limit": "how many may be written to has changed",
    "channel.profile": "name, username or settings of the account changed",
    "channel.alert": "the provider warns of the account",
    "channel.control": "another app of the business took a conversation, or gave it back",
    "channel.standby": "the provider's own agent answers, and the connector only watches",
    "history.progress": "how far the copy of past conversations has come",
    "history.refused": "past conversations are not given",
    "conversation.context": "what was said before, as the provider sums it up",
    "contact.action": "what a contact did with a message",
    "contact.preference": "what a contact wants to be sent",
    "contact.sync": "an entry of the phone's address book that names nobody",
    "contact.user_id": "the id of a contact changed, and nobody can be told whose",
    "marketing.link_clicked": "a link in a marketing message was opened",
    "payment.status": "what became of a payment",
    "payment_unanswered": "a payment question that nobody could answer",
    "group.lifecycle": "a group was made, or is gone",
    "group.participants": "who is in a group has changed",
    "group.settings": "settings of a group changed",
    "group.status": "a group was suspended, or is free again",
    "status.deleted": "a message of ours was deleted",
    "status.unknown": "a report about a message of a kind nobody knows",
    "automatic_message_changed": "an automatic message of the account was changed",
    "automatic_message_audited": "the provider has reviewed an automatic message",
    "high_intent_comment": "a public comment shows interest",
    "authorization_removed": "the owner took the app's permission away",
    "business_connection": "a user connected the bot to their own account, or changed what it may do",
    "webhook.unknown": "a webhook of a kind nobody knows",
    "unknown_event": "an event of a kind nobody knows",
    "unknown_update": "an update of a kind nobody knows",
}

# The names of Telegram's service messages (core.telegram.org/bots/api#message) and of WhatsApp's system messages.
SYSTEM_EVENTS = _unexplained("""
    new_chat_members new_chat_member new_chat_participant left_chat_member left_chat_participant new_chat_title
    new_chat_photo delete_chat_photo group_chat_created supergroup_chat_created channel_chat_created chat_owner_left
    chat_owner_changed message_auto_delete_timer_changed pinned_message successful_payment refunded_payment users_shared
    user_shared chat_shared gift gift_upgrade_sent unique_gift connected_website write_access_allowed passport_data
    proximity_alert_triggered boost_added chat_background_set checklist_tasks_done checklist_tasks_added
    direct_message_price_changed paid_message_price_changed poll_option_added poll_option_deleted forum_topic_created
    forum_topic_edited forum_topic_closed forum_topic_reopened general_forum_topic_hidden general_forum_topic_unhidden
    giveaway_created giveaway_completed managed_bot_created suggested_post suggested_post_approved
    suggested_post_approval_failed suggested_post_declined suggested_post_paid suggested_post_refunded
    video_chat_scheduled voice_chat_scheduled video_chat_started voice_chat_started video_chat_ended voice_chat_ended
    video_chat_participants_invited voice_chat_participants_invited community_chat_added community_chat_joined
    community_chat_removed bot_member bot_administrator bot_restricted bot_left bot_kicked chat_join_request
    purchased_paid_media request_welcome call_permission.accept call_permission.reject user_added_passkey system
""")

AUTOMATIC = {
    "away": "an away or greeting message of the business's app",
    "auto_reply": "an answer that no person wrote",
    "list": "an email of a mailing list",
    "bounce": "an email that says that one of ours did not arrive",
    "feedback": "a complaint about one of our emails",
}

REFERRALS = {
    "ad": "an advertisement",
    "post": "a post of the business",
    "product": "a product of the catalog",
    "short_link": "a link of the provider's that opens the chat",
    "deep_link": "a link with a payload of ours",
    "live": "a live video",
    "unknown": "the provider does not say",
}

FORWARDED_FROM = {
    "user": "a user",
    "hidden_user": "a user who does not want to be named",
    "chat": "a group",
    "channel": "a channel",
}

WINDOWS = {
    "customer_service": "WhatsApp: 24 hours from the contact's last message",
    "business_24h": "Telegram Business: 24 hours from the contact's last message",
    "direct_message": "TikTok: 48 hours, and a number of messages",
}

CATEGORIES = {"marketing": "", "utility": "", "authentication": ""}

TEMPLATE_STATUSES = {
    "approved": "it can be sent",
    "pending": "the provider looks at it",
    "rejected": "the provider has refused it",
    "in_appeal": "a refusal is looked at again",
    "paused": "recipients complained; it may come back",
    "disabled": "recipients complained too often",
    "locked": "nobody may change it",
    "limit_exceeded": "the business has too many templates",
    "archived": "nobody has used it for long",
    "pending_deletion": "it is about to be deleted",
    "deleted": "it is deleted",
}

QUALITIES = {"green": "good", "yellow": "middling", "red": "bad: it may be paused"}

TEMPLATE_PARTS = {
    "header": "what stands above the text",
    "body": "the text",
    "button": "a button below it",
    "limited_time_offer": "the end of an offer",
}

TEMPLATE_VALUES = {
    "text": "a text without line breaks",
    "image": "a picture",
    "video": "a video",
    "gif": "a video that plays by itself",
    "document": "a document",
    "location": "a place",
    "product": "a product of the catalog",
    "coupon_code": "the code that a button copies",
    "expiration": "when an offer ends",
}

ContactChange = Annotated[str, _listed(CONTACT_CHANGES)]
MissingContent = Annotated[str, _listed(MISSING_CONTENT)]
Notice = Annotated[str, _listed(NOTICES)]
SystemEvent = Annotated[str, _listed(SYSTEM_EVENTS)]
ReferralSource = Annotated[str, _listed(REFERRALS)]
WindowKind = Annotated[str, _listed(WINDOWS)]
OptionalWait = Annotated[OptionalText, _listed(WAITS)]
OptionalAutomatic = Annotated[OptionalText, _listed(AUTOMATIC)]
OptionalForwardedFrom = Annotated[OptionalText, _listed(FORWARDED_FROM)]
TemplateStatus = Annotated[str, _listed(TEMPLATE_STATUSES)]
TemplatePart = Annotated[str, _listed(TEMPLATE_PARTS)]
TemplateValue = Annotated[str, _listed(TEMPLATE_VALUES)]
OptionalQuality = Annotated[OptionalText, _listed(QUALITIES)]
OptionalCategory = Annotated[OptionalText, _listed(CATEGORIES)]
