"""Webhook bodies as the providers write them, for what their simulators do not play: old times, odd types, bulk."""

from __future__ import annotations

import base64
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from shared.contract import ids
from tests.e2e.providers import Connected

_updates = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Said:
    """One text: who wrote it (a number of the test's own), under which id, when (Unix seconds), answering what."""

    person: int
    id: int
    text: str = "hello"
    at: float = field(default_factory=time.time)
    name: str | None = "Ida Berg"
    reply_to: int | None = None
    type: str = "text"
    content: Any = None  # of another type than text
    echo: bool = False  # written by the business in the channel's own app

    def later(self, seconds: float, **changes: Any) -> Said:
        return replace(self, id=self.id + 1, at=self.at + seconds, **changes)


# ---------------------------------------------------------------------------------------------------- whatsapp


def phone(person: int) -> str:
    """The E.164 number of a person, without the plus."""
    return f"49151{person:08}"


def user_id(person: int) -> str:
    return f"DE.{person:012}"


def wamid(message: int) -> str:
    return "wamid." + base64.b64encode(f"message-{message:012}".encode()).decode()


def whatsapp_message(said: Said) -> dict[str, Any]:
    side = (
        {"to": phone(said.person)} if said.echo else {"from": phone(said.person), "from_user_id": user_id(said.person)}
    )
    message = {"id": wamid(said.id), "timestamp": str(int(said.at)), "type": said.type, **side}
    message[said.type] = {"body": said.text} if said.content is None else said.content
    if said.reply_to is not None:
        message["context"] = {"id": wamid(said.reply_to)}
    return message


def whatsapp_change(phone_number_id: str, *said: Said) -> dict[str, Any]:
    """The change of one number, everybody's names beside the messages."""
    people = {one.person: one.name for one in said if not one.echo}
    contacts = [
        {"wa_id": phone(person), "user_id": user_id(person), **({"profile": {"name": name}} if name else {})}
        for person, name in people.items()
    ]
    value: dict[str, Any] = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550100099", "phone_number_id": phone_number_id},
    }
    if contacts:
        value |= {"contacts": contacts, "messages": [whatsapp_message(one) for one in said if not one.echo]}
    if echoes := [whatsapp_message(one) for one in said if one.echo]:
        value["message_echoes"] = echoes
    return {"field": "messages" if contacts else "smb_message_echoes", "value": value}


def whatsapp(account: Connected, *said: Said) -> dict[str, Any]:
    entry = {"id": "102290129340398", "changes": [whatsapp_change(account.handle, *said)]}
    return {"object": "whatsapp_business_account", "entry": [entry]}


# ---------------------------------------------------------------------------------------------------- telegram


def telegram(account: Connected, *said: Said) -> Any:
    """One update, or the list that a relay would make of several."""
    updates = [telegram_update(one) for one in said]
    return updates[0] if len(updates) == 1 else updates


def telegram_update(said: Said) -> dict[str, Any]:
    chat = {"id": 9_000_000 + said.person, "type": "private", "first_name": said.name or ""}
    message: dict[str, Any] = {
        "message_id": said.id,
        "date": int(said.at),
        "chat": chat,
        "from": {**{k: v for k, v in chat.items() if k != "type"}, "is_bot": False, "language_code": "de"},
    }
    message[said.type] = said.text if said.content is None else said.content
    if said.reply_to is not None:
        message["reply_to_message"] = {"message_id": said.reply_to, "date": int(said.at) - 1, "chat": chat, "text": "?"}
    kind = "message"
    if said.echo:
        kind = "business_message"
        message |= {"business_connection_id": "biz_1", "from": {"id": 8001, "is_bot": False, "first_name": "Olga"}}
    return {"update_id": next(_updates), kind: message}


# ------------------------------------------------------------------------------------------------------ tiktok


def tiktok_conversation(person: int) -> str:
    return f"u5Jhpsel{person:012}+/=="


def tiktok_id(message: int) -> str:
    return f"u5Buqc6l{message:012}=="


def tiktok_content(business: str, said: Said) -> dict[str, Any]:
    contact = {"id": f"+ZuK1{said.person:08}/9A==", "role": "personal_account"}
    ours = {"id": business, "role": "business_account"}
    from_, to = (ours, contact) if said.echo else (contact, ours)
    names = (f"person.{said.person}", "acme.shop")
    content: dict[str, Any] = {
        "from": names[said.echo],
        "to": names[not said.echo],
        "unique_identifier": contact["id"],
        "from_user": from_,
        "to_user": to,
        "conversation_id": tiktok_conversation(said.person),
        "message_id": tiktok_id(said.id),
        "timestamp": int(said.at * 1000),
        "type": said.type,
        "message_tag": {"source": "APP"},
    }
    content[said.type] = {"body": said.text} if said.content is None else said.content
    if said.reply_to is not None:
        content["referenced_message_info"] = {"referenced_message_id": tiktok_id(said.reply_to)}
    return content


def tiktok(account: Connected, *said: Said) -> dict[str, Any]:
    """One event; several share its content, as a list."""
    contents = [tiktok_content(account.handle, one) for one in said]
    return {
        "event": "im_send_msg" if said[0].echo else "im_receive_msg",
        "create_time": int(said[0].at),
        "user_openid": account.handle,
        "content": orjson.dumps(contents[0] if len(contents) == 1 else contents).decode(),
    }


# ------------------------------------------------------------------------------------------------------- each

BODY: dict[str, Callable[..., Any]] = {"whatsapp": whatsapp, "telegram": telegram, "tiktok": tiktok}


def conversation_of(channel: str, account: Connected, person: int) -> str:
    """The conversation of a person who writes by these bodies."""
    peers = {
        "whatsapp": user_id(person),
        "telegram": str(9_000_000 + person),
        "tiktok": tiktok_conversation(person),
    }
    return ids.conversation_id(channel, account.id, peers[channel])


def provider_id_of(channel: str, message: int) -> str:
    return {"whatsapp": wamid, "telegram": str, "tiktok": tiktok_id}[channel](message)
