"""`POST /{phone_number_id}/messages`: checks, limits, addressing, acceptance; and read receipts with typing."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from sandbox.simulators.whatsapp import limits
from sandbox.simulators.whatsapp.addressing import address
from sandbox.simulators.whatsapp.attachments import fetch, is_local, media_ids, unusable
from sandbox.simulators.whatsapp.core import Core
from sandbox.simulators.whatsapp.errors import GraphError, Json
from sandbox.simulators.whatsapp.media import KINDS
from sandbox.simulators.whatsapp.model import (
    FREE_ENTRY_POINT,
    RECENT,
    Conversation,
    Customer,
    Group,
    Number,
    Received,
    Sent,
    wamid,
)
from sandbox.simulators.whatsapp.statuses import Statuses
from sandbox.simulators.whatsapp.templates import Template

PAIR_SECONDS = 6.0  # one message per six seconds to the same user,
PAIR_BURST = 45  # with up to 45 borrowed from the future
TYPING_SECONDS = 25.0
DIRECT_SEND_BODY = 1024  # as in a template
_DIRECT_SEND = frozenset({"text", "button", "cta_url"})
_ERROR = frozenset({"error"})


class Sender:
    """Takes send requests of one simulator."""

    def __init__(self, core: Core, statuses: Statuses) -> None:
        self._core = core
        self._statuses = statuses
        self._fetches: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        for task in list(self._fetches):
            task.cancel()
        await asyncio.gather(*self._fetches, return_exceptions=True)

    async def send(self, number: Number, raw: bytes, body: Json, *, marketing: bool = False) -> Json:
        """Accept a message and answer as Meta: `{messaging_product, contacts, messages}`.

        `marketing` is the Marketing Messages endpoint. Raises GraphError for what Meta refuses at once; closed windows,
        unknown recipients and unusable media are accepted and fail by status, as with Meta.
        """
        self.check(body)
        if not number.registered:
            raise GraphError(133010, "The phone number is not registered.")
        kind = body.get("type", "text")
        template = self._template(body, marketing)
        self._check_category(number, body)
        self._throttle(number)
        conversation, contact = address(self._core, number, body)
        self._throttle_pair(conversation)
        if kind == "reaction":
            self._check_reaction(body["reaction"], conversation)
        self._check_media(number, kind, body)
        sent = self._accept(conversation, kind, raw, body, template)
        failure = self._fate(sent, body, template)
        answer = {"id": sent.id}
        held = template is not None and template.status == "HELD"
        if template is not None:
            answer["message_status"] = "held_for_quality_assessment" if held else "accepted"
        await self._plan(sent, body, failure, held=held)
        return {"messaging_product": "whatsapp", "contacts": [contact], "messages": [answer]}

    def mark_read(self, number: Number, body: Json) -> Json:
        """Read receipt for a message and all before it, optionally with typing; raises GraphError 131009."""
        self._core.spec.check_mark_read(body)
        message = self._core.world.message(str(body.get("message_id")))
        now = self._core.clock.now()
        if (
            not isinstance(message, Received)
            or message.conversation.number is not number
            or isinstance(message.conversation.peer, Group)
            or now - message.at > RECENT
        ):
            raise GraphError(131009, "Param message_id is not a message that can be marked as read.")
        conversation = message.conversation
        for earlier in reversed(conversation.received):
            if earlier.at <= message.at:
                if earlier.read:
                    break
                earlier.read = True
        if "typing_indicator" in body:
            conversation.typing_until = now + TYPING_SECONDS
        self._core.feed.publish("read", {"id": message.id, "typing": "typing_indicator" in body})
        return {"success": True}

    def check(self, body: Json) -> None:
        """The description's and the documented limits on a send request; raises GraphError."""
        self._core.spec.check_message(body)
        try:
            limits.check(body)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise GraphError(100, f"Malformed message: {type(error).__name__}.") from None
        self._core.spec.check_action(body)

    def _template(self, body: Json, marketing: bool) -> Template | None:
        if body.get("type") != "template":
            if marketing:
                raise GraphError(134100, "Only marketing templates can be sent here.")
            return None
        template = self._core.templates.check(body["template"], to_bsuid=not body.get("to"))
        if marketing and template.category != "MARKETING":
            raise GraphError(134100, "Only marketing templates can be sent here.")
        return template

    def _check_category(self, number: Number, body: Json) -> None:
        if "category" not in body:
            return
        kind = body.get("type", "text")
        form = body["interactive"]["type"] if kind == "interactive" else kind
        if not number.direct_send or form not in _DIRECT_SEND:
            raise GraphError(100, "Param category is not available for this number or message type.")
        if kind == "text" and len(body["text"]["body"]) > DIRECT_SEND_BODY:
            raise GraphError(100, f"Param text['body'] must be at most {DIRECT_SEND_BODY} characters long.")

    def _throttle(self, number: Number) -> None:
        now = self._core.clock.now()
        if self._core.behaviour.throughput_limit and number.busy_until > now + 1.0:
            raise GraphError(
                130429, f"Cloud API message throughput of {number.throughput:g} messages per second reached."
            )
        count_throughput(number, now)

    def _throttle_pair(self, conversation: Conversation) -> None:
        if not self._core.behaviour.pair_limit:
            return
        now = self._core.clock.now()
        until = max(conversation.pair_until, now) + PAIR_SECONDS
        if until - now > PAIR_SECONDS * PAIR_BURST:
            raise GraphError(131056, "Too many messages sent from the sender phone number to the same recipient.")
        conversation.pair_until = until

    def _check_reaction(self, reaction: Json, conversation: Conversation) -> None:
        target = self._core.world.message(reaction["message_id"])
        kind = target.type if isinstance(target, Sent) else target.item.get("type") if target else None
        if (
            target is None
            or target.conversation is not conversation
            or kind == "reaction"
            or self._core.clock.now() - target.at > RECENT
        ):
            raise GraphError(131009, "Param reaction['message_id'] is not a message that can be reacted to.")

    def _check_media(self, number: Number, kind: str, body: Json) -> None:
        for media_id in media_ids({kind: body[kind]}):
            try:
                self._core.media.get(media_id, owner=number.phone_number_id)
            except GraphError:
                raise GraphError(131009, f"Media id {media_id} is not found or has expired.") from None

    def _accept(self, conversation: Conversation, kind: str, raw: bytes, body: Json, template: Template | None) -> Sent:
        now = self._core.clock.now()
        peer = conversation.peer
        category = body.get("category", "service") if template is None else template.category.lower()
        sent = Sent(
            id=wamid(peer.peer if isinstance(peer, Customer) else peer.group_id),
            conversation=conversation,
            type=kind,
            raw=raw,
            at=now,
            callback_data=body.get("biz_opaque_callback_data"),
            category=category,
            voice=kind == "audio" and bool(body["audio"].get("voice")),
        )
        if now < conversation.ad_click_until:  # answering an ad click opens the free entry point
            conversation.free_until, conversation.ad_click_until = now + FREE_ENTRY_POINT, 0.0
        conversation.typing_until = 0.0
        self._core.world.keep_sent(sent)
        self._core.feed.publish("sent", {"id": sent.id, "type": kind, "number": conversation.number.phone_number_id})
        return sent

    def _fate(self, sent: Sent, body: Json, template: Template | None) -> GraphError | None:
        """Why an accepted message fails later, if it does."""
        conversation = sent.conversation
        number, peer = conversation.number, conversation.peer
        facts = {"phone_number_id": number.phone_number_id, "type": sent.type}
        fault = self._core.faults.find(_ERROR, call="status", to=body.get("to") or body.get("recipient"), **facts)
        if fault is not None:
            return GraphError(fault.code or 131000, fault.description)
        if isinstance(peer, Customer):
            if not peer.on_whatsapp or peer.blocked_us or peer.key in number.blocked:
                return GraphError(131026, "Message Undeliverable.")
            if template is not None and template.category == "MARKETING" and peer.marketing_opt_out:
                return GraphError(131050, "The user has stopped marketing messages from this business.")
        if template is not None:
            return (
                GraphError(132015, "The template was paused before this message was released.")
                if template.status == "HELD"
                else None
            )
        if "category" not in body and not self._core.behaviour.open_world and conversation.window_until <= sent.at:
            return GraphError(131047, "More than 24 hours have passed since the customer last replied to this number.")
        return unusable(self._core.media, sent, body)

    async def _plan(self, sent: Sent, body: Json, failure: GraphError | None, *, held: bool) -> None:
        link = body[sent.type].get("link") if sent.type in KINDS else None
        if link is None or failure is not None or not is_local(link):
            await self._statuses.plan(sent, failure, held=held)
            return
        task = asyncio.get_running_loop().create_task(self._fetch_then_plan(sent, link))
        self._fetches.add(task)
        task.add_done_callback(self._fetches.discard)

    async def _fetch_then_plan(self, sent: Sent, link: str) -> None:
        await self._statuses.plan(sent, await fetch(link, sent.type))


def count_throughput(number: Number, now: float) -> None:
    """Messages in and out fill the same bucket."""
    number.busy_until = max(number.busy_until, now) + 1.0 / number.throughput


def parse(raw: bytes) -> Json:
    """The JSON object of a request body; raises GraphError 100."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise GraphError(100, "The request body is not valid JSON.") from None
    if not isinstance(body, dict):
        raise GraphError(100, "The request body must be a JSON object.")
    return _without_nulls(body) if b"null" in raw else body  # null counts as absent: pywa fills contacts with it


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value
