"""The people at both phones: what customers and the account's owner do in the app, and the webhooks it causes."""

from __future__ import annotations

from typing import Any, Literal

from .events import comment_event, embed_url, message_event, read_event, referral_event
from .ids import comment_id
from .options import DAY_S
from .platform import Platform
from .tables import MAX_REF
from .world import APP, Comment, Conversation, Message

ASSET_LIFETIME_S = 30 * DAY_S

AUTOMATIC_EVENTS = frozenset({"im_auto_message_config_update", "im_auto_message_audit_update"})


class People:
    """Every method returns once the webhook is queued. Unknown ids raise `LookupError`, bad values `ValueError`."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    async def writes(
        self,
        business_id: str,
        username: str,
        kind: str = "text",
        *,
        silent: bool = False,
        references: str | None = None,
        age: float = 0.0,
        content: dict[str, Any] | None = None,
        **traits: Any,
    ) -> Message:
        """A customer writes; a thread is made on first contact.

        `kind` is a webhook type (text, image, video, share_post, sticker, emoji) or any other word, which history
        shows as OTHER. `content` is the fields of that type: body, media_id, url, item_id; what is left out gets a
        sample. `silent` loses the webhook, `age` is how many seconds ago it was written, `traits` are
        display_name, is_follower, european and images of the `Customer`.
        """
        platform = self._platform
        conversation = platform.world.thread(business_id, username, **traits)
        if references is not None:
            _existing(conversation, references)
        message = Message(
            message_id=platform.mint.message_id(),
            timestamp=platform.now_ms() - int(age * 1000),
            inbound=True,
            kind=kind,
            parts=await self._parts(kind, content or {}),
            source=APP,
            references=references,
        )
        platform.take_in(conversation, message)
        if not silent:
            await platform.webhooks.post(platform.announcement(conversation, message))
        return message

    async def reacts(
        self,
        conversation_id: str,
        message_id: str,
        *,
        emoji: str | None = None,
        ai_emoji_url: str | None = None,
        remove: bool = False,
        by_business: bool = False,
    ) -> None:
        """Someone puts an emoji on a message, or takes it away; without `emoji` it is an AI emoji."""
        platform = self._platform
        conversation = platform.world.conversation(conversation_id)
        target = _existing(conversation, message_id)
        who = conversation.account.business_id if by_business else conversation.customer.user_id
        now = platform.now_ms()
        if emoji is not None:
            drawing = {"type": "EMOJI", "emoji": emoji}
        else:
            drawing = {"type": "AI_EMOJI", "ai_emoji_url": ai_emoji_url or self._asset("ai_emoji.png")}
        target.reactions = [
            r for r in target.reactions if r["unique_identifier"] != who or not drawing.items() <= r.items()
        ]
        if not remove:
            target.reactions.append({**drawing, "unique_identifier": who, "timestamp": now})
        change = {
            "operation": "REMOVE" if remove else "ADD",
            **drawing,
            "unique_identifier": who,
            "timestamp": now,
            "original_msg_id": message_id,
        }
        carrier = Message(platform.mint.message_id(), now, not by_business, "reaction", {"reaction": [change]}, APP)
        platform.feed.publish("reaction", {"conversation_id": conversation_id, **change})
        await self._tell(conversation, message_event(conversation, carrier))

    async def reads(self, conversation_id: str, up_to: int | None = None) -> None:
        """The customer opens the thread; everything sent up to `up_to` (unix ms, default now) is read."""
        conversation = self._platform.world.conversation(conversation_id)
        now = self._platform.now_ms()
        conversation.read_by_customer = max(conversation.read_by_customer, up_to or now)
        self._platform.feed.publish("read", {"conversation_id": conversation_id, "up_to": up_to or now})
        await self._tell(conversation, read_event(conversation, now, up_to or now))

    async def taps(self, conversation_id: str, message_id: str, button: int = 0) -> Message:
        """The customer taps a card's button, which writes its title in the customer's name."""
        platform = self._platform
        conversation = platform.world.conversation(conversation_id)
        card = _existing(conversation, message_id)
        if card.kind != "template":
            raise ValueError("only a card has buttons")
        buttons = card.parts["template"]["buttons"]
        if not 0 <= button < len(buttons):
            raise ValueError("the card has no such button")
        source = {
            "reply_source_msg_id": message_id,
            "reply_source_unique_id": buttons[button].get("id", ""),
        }
        parts = {"text": {"body": buttons[button]["title"]}, "reply_source_payload": source}
        message = Message(platform.mint.message_id(), platform.now_ms(), True, "text", parts, APP)
        platform.take_in(conversation, message)
        await platform.webhooks.post(platform.announcement(conversation, message))
        return message

    async def arrives(
        self, business_id: str, username: str, source: Literal["ad", "short_link"], **referral: Any
    ) -> str:
        """The customer enters from an ad or a tiktok.me link; returns the conversation's id. Opens no window."""
        if len(referral.get("ref", "")) > MAX_REF:
            raise ValueError(f"ref is longer than {MAX_REF}")
        platform = self._platform
        conversation = platform.world.thread(business_id, username)
        now = platform.now_ms()
        if source == "ad":
            sample = {
                "advertiser_id": "7100000000000000001",
                "ad_id": "1790000000000001",
                "timestamp": now,
                "ad_name": "Autumn sale",
                "embed_url": embed_url("7301234567890123456"),
            }
            conversation.ads.append(sample | referral)
        else:
            sample = {"ref": "spring-1", "prefilled_message": "Hello!", "prefilled_message_audit_status": "PASS"}
            conversation.links.append(sample | referral)
        conversation.updated = max(conversation.updated, now)
        await self._tell(conversation, referral_event(conversation, now, source, sample | referral))
        return conversation.conversation_id

    async def comments(self, business_id: str, username: str, text: str) -> str:
        """A comment with high intent; returns its id. Announced only while Comment-to-Message is on."""
        platform = self._platform
        conversation = platform.world.thread(business_id, username)
        comment = Comment(
            comment_id(platform.mint.number()), conversation.account, conversation.customer, platform.now_ms()
        )
        platform.world.remember_comment(comment)
        if conversation.account.comment_to_message:
            await self._tell(conversation, comment_event(comment, text))
        return comment.comment_id

    async def owner_writes(
        self,
        conversation_id: str,
        kind: str = "text",
        *,
        content: dict[str, Any] | None = None,
        source: str = APP,
        auto_message_type: str | None = None,
        references: str | None = None,
    ) -> Message:
        """The owner answers by hand (`APP`, `WEB`) or the platform by itself (`OTHERS`): an echo that uses quota."""
        platform = self._platform
        conversation = platform.world.conversation(conversation_id)
        message = Message(
            message_id=platform.mint.message_id(),
            timestamp=platform.now_ms(),
            inbound=False,
            kind=kind,
            parts=await self._parts(kind, content or {}),
            source=source,
            references=references,
            auto_message_type=auto_message_type,
        )
        platform.take_in(conversation, message)
        await platform.webhooks.post(platform.announcement(conversation, message))
        return message

    async def owner_removes_app(self, business_id: str) -> None:
        """The owner disconnects the app in the settings: its tokens die, `authorization.removed` tells."""
        self._platform.world.account(business_id)
        self._platform.tokens.remove(business_id)
        hook = self._platform.webhooks.delivery("authorization.removed", {"reason": 1}, business_id)
        await self._platform.webhooks.post(hook)

    async def owner_configures(self, business_id: str, event: str) -> None:
        """Welcome message, questions or prompts changed (one of `AUTOMATIC_EVENTS`)."""
        if event not in AUTOMATIC_EVENTS:
            raise ValueError("not an event of automatic messages")
        self._platform.world.account(business_id)
        content = {"auto_message_type": "WELCOME_MESSAGE", "timestamp": self._platform.now_ms()}
        await self._platform.webhooks.post(self._platform.webhooks.delivery(event, content, business_id))

    async def _tell(self, conversation: Conversation, event: tuple[str, dict[str, Any]]) -> None:
        hook = self._platform.webhooks.delivery(*event, conversation.account.business_id)
        await self._platform.webhooks.post(hook)

    async def _parts(self, kind: str, content: dict[str, Any]) -> dict[str, Any]:
        if kind == "text":
            return {"text": {"body": content.get("body", "Hello!")}}
        if kind in ("image", "video"):
            media_id = content.get("media_id") or (await self._platform.media.sample(kind.upper())).media_id
            return {kind: {"media_id": media_id}}
        if kind == "share_post":
            item_id = content.get("item_id", "7309999999999999999")
            return {kind: {"embed_url": embed_url(item_id), "video_id": item_id}}
        if kind == "sticker":
            return {kind: {"url": content.get("url") or self._asset("sticker.png")}}
        if kind == "emoji":
            return {kind: {"url": content.get("url") or f"{self._platform.base_url}/static/emoji.png"}}
        return {kind: content} if content else {}

    def _asset(self, name: str) -> str:
        expires = int(self._platform.clock.now()) + ASSET_LIFETIME_S
        return f"{self._platform.base_url}/static/{name}?x-expires={expires}"


def _existing(conversation: Conversation, message_id: str) -> Message:
    message = conversation.find(message_id)
    if message is None:
        raise LookupError("no such message in this conversation")
    return message
