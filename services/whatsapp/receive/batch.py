"""Splits a webhook body into raw items: one per message, status or other fact, over three levels of lists.

A raw item is a JSON object that stands by itself: `field`, `waba`, `time` and `metadata` of its change, the one
`contact` it concerns, `errors` of the value where the item lacks its own content, and the thing itself under one of
the keys of `_LISTS` (or `value` for a field without a list). A member that is no object is kept bare: `normalise`
refuses it, which makes it a dead letter and costs its neighbours nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import orjson

from services.whatsapp.identity import ADDRESSEE, AUTHOR, PERSON, RECIPIENT, names_of
from services.whatsapp.receive.persons import Contacts, key_of, wrote_ourselves
from shared.channel import MOST_ITEM_BYTES, RawItem, bounded
from shared.kit import loose
from shared.kit.json import read_json
from shared.kit.loose import Json

# Lists of a value, the key of their members in a raw item, and where a member names its person.
_LISTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "messages": ("message", AUTHOR),
    "message_echoes": ("message_echo", ADDRESSEE),
    "smb_message_echoes": ("message_echo", ADDRESSEE),
    "statuses": ("status", RECIPIENT),
    "user_preferences": ("user_preference", PERSON),
    "user_id_update": ("user_id_update", PERSON),
    "state_sync": ("state_sync", ()),
    "user_actions": ("user_action", PERSON),
    "groups": ("group", ()),
}


class _Poisoned(RawItem):
    """A member that cannot be read, kept as it came."""

    __slots__ = ()


def unbatch(body: bytes) -> list[RawItem]:
    """Every message, status and other fact of a body. Raises ValueError when nothing in it can be read."""
    document = read_json(body, "not JSON")
    if (lone := _lone(document)) is not None:
        return [lone]
    found = bounded(_split(document))
    if found and all(isinstance(item, _Poisoned) for item in found):
        raise ValueError("nothing in it can be read")
    return found


# All that the value of a body with one plain message or status has; what has more takes the long way.
_PLAIN = frozenset({"messaging_product", "metadata", "contacts", "messages", "statuses"})


def _lone(document: Any) -> RawItem | None:
    """The item of a body with one plain message or status, as nearly all are: what `_split` would find, in a third of
    the time. None for every other body."""
    match document:
        case {"entry": [{"changes": [{"field": "messages", "value": dict(value)}]} as entry]} if value.keys() <= _PLAIN:
            contact: Json | None = None
        case _:
            return None
    match value:
        case {"messages": [{"type": str(kind)} as member]} if "statuses" not in value and kind != "system":
            kind, keys = _LISTS["messages"]
        case {"statuses": [{"status": str()} as member]} if "messages" not in value and "message" not in member:
            kind, keys = _LISTS["statuses"]
        case _:
            return None
    match value:
        case {"metadata": {"phone_number_id": str(number)} as metadata} if number:
            pass
        case _:
            return None
    match value.get("contacts"):
        case [dict(only)] if only:
            contact = only
        case None | []:
            pass
        case _:
            return None
    if kind == "message" and loose.text(member, *ADDRESSEE) is not None:  # perhaps an echo
        return None
    item = {"field": "messages", "waba": loose.text(entry, "id"), "time": entry.get("time"), "metadata": metadata}
    item[kind] = member
    if contact:
        item["contact"] = contact
    body = _dumps(item)
    key = key_of(member, contact, keys) or number
    return RawItem(key, body, external_id=number) if len(body) <= MOST_ITEM_BYTES else None


def _split(document: Any) -> Iterator[RawItem]:
    for change in _changes(document):
        if isinstance(change, RawItem):
            yield change
        else:
            yield from _items(*change)


def _changes(document: Any) -> Iterator[tuple[Json, Json] | RawItem]:
    """(change with its `waba` and `time`, value) of a body; a change that cannot be read as an item of its own.

    Takes the whole envelope, a list of envelopes, the bare `{field, value}` of Meta's dashboard samples, and the bare
    value that numbers hosted on premises used to send and that some of Meta's pages show.
    """
    envelopes = document if isinstance(document, list) else [document]
    readable = [_entries(envelope) for envelope in envelopes]
    if all(entries is None for entries in readable):
        raise ValueError("not a webhook of the WhatsApp Business Platform")
    for envelope, entries in zip(envelopes, readable, strict=True):
        if entries is None:
            yield _bare(envelope, "", None)
            continue
        for entry in entries:
            if not isinstance(entry, dict) or not isinstance(entry.get("changes"), list):
                yield _bare(entry, "", None)
                continue
            waba = loose.text(entry, "id")
            for change in entry["changes"]:
                value = change.get("value") if isinstance(change, dict) else None
                if not isinstance(value, dict) or not value:
                    yield _bare(change, waba or "", waba)
                    continue
                # Some of Meta's own samples write the field a level too deep or too high.
                named = loose.text(change, "field") or loose.text(value, "field") or loose.text(entry, "field")
                field = named or "messages"
                yield {"field": field, "waba": _waba(value) or waba, "time": entry.get("time")}, value


def _waba(value: Json) -> str | None:
    """The business account that a value names: what is told to a partner comes in an entry of the partner's own."""
    return loose.text(loose.obj(value, "waba_info"), "waba_id")


def _entries(envelope: Any) -> list[Any] | None:
    if not isinstance(envelope, dict):
        return None
    if "entry" in envelope:
        entries = envelope["entry"]
        return entries if isinstance(entries, list) else None
    if "field" in envelope and "value" in envelope:
        return [{"changes": [envelope]}]
    known = (*_LISTS, "history", "errors") if "messaging_product" in envelope else ("messages", "statuses")
    if any(loose.items(envelope, name) for name in known):
        return [{"changes": [{"value": envelope}]}]
    return None


def _bare(member: Any, key: str, external_id: str | None) -> RawItem:
    return _Poisoned(key=key, body=_dumps(member), external_id=external_id)


def _dumps(item: Any) -> bytes:
    """The item as JSON, also one nested beyond what can be published: that is a dead letter as it came.

    Raises ValueError for one that no writer of JSON writes.
    """
    try:
        return orjson.dumps(item)
    except TypeError:
        pass
    try:
        return json.dumps(item).encode()
    except RecursionError:
        raise ValueError("The payload is nested too deeply.") from None


def _items(frame: Json, value: Json) -> Iterator[RawItem]:
    if observed := loose.objects(value, "standby"):  # the lists of other fields, a level deeper
        around = {name: content for name, content in value.items() if name != "standby"}
        for part in observed:
            yield from _items(frame, {**around, **part})
        return
    metadata = loose.obj(value, "metadata")
    # A change of control names our number as its recipient.
    number = loose.text(metadata, "phone_number_id") or loose.text(loose.obj(value, "recipient"), "phone_number_id")
    external_id = number or frame["waba"]
    frame = {**frame, "metadata": metadata} if metadata else frame
    account_key = external_id or ""
    errors = loose.objects(value, "errors")
    past = frame["field"] == "history"
    lists = [(name, loose.items(value, name)) for name in _LISTS if name in value]
    count = sum(len(members) for _, members in lists)
    contacts = Contacts(loose.objects(value, "contacts"), count)
    for name, members in lists:
        of_list = _LISTS[name]
        for given in members:
            if not isinstance(given, dict) or not given:
                yield _bare(given, account_key, external_id)
                continue
            member = _flat(given) if name in _NESTED else given
            kind, keys = of_list
            if name == "messages" and not past and wrote_ourselves(metadata, member):
                # An echo among the messages must not make our own number an alias of the contact.
                kind, keys = _LISTS["message_echoes"]
            contact = contacts.of(member, keys)
            # The files of the phone app's history come in webhooks of their own, shaped like new messages.
            item = {**frame, "history_message" if past and kind in ("message", "message_echo") else kind: member}
            if contact:
                item["contact"] = contact
            if errors and kind == "message" and not isinstance(member.get(loose.text(member, "type") or ""), dict):
                item["errors"], errors = errors, []
            yield RawItem(key_of(member, contact, keys) or account_key, _dumps(item), external_id=external_id)
    for error in errors:
        count += 1
        yield RawItem(account_key, _dumps({**frame, "error": error}), external_id=external_id)
    for chunk in loose.items(value, "history"):
        count += 1
        yield from _history(frame, chunk, account_key, external_id)
    if summed_up := loose.obj(value, "conversation_context"):  # by whoever held the conversation before us
        count += 1
        told = {**summed_up, "message_ids": [loose.text(member, "id") for member in loose.objects(value, "messages")]}
        yield RawItem(account_key, _dumps({**frame, "conversation_context": told}), external_id=external_id)
    if frame["field"] == "standby" or not count:
        yield RawItem(account_key, _dumps({**frame, "value": value}), external_id=external_id)


# Where `message` holds what belongs beside it: echoes of Meta's agent, statuses of numbers hosted on premises.
_NESTED = frozenset({"message_echoes", "statuses"})


def _flat(member: Json) -> Json:
    inner = loose.obj(member, "message")
    if not inner:
        return member
    outer = {name: content for name, content in member.items() if name != "message"}
    if "template" in inner and "template" in outer:  # beside what was sent, the template it was made from
        outer["template_definition"] = outer.pop("template")
    return {**inner, **outer}


def _history(frame: Json, chunk: Any, account_key: str, external_id: str | None) -> Iterator[RawItem]:
    """A chunk of the phone app's history: an item per message, and one for the chunk itself (progress, refusal)."""
    if not isinstance(chunk, dict):
        yield _bare(chunk, account_key, external_id)
        return
    for thread in loose.items(chunk, "threads"):
        if not isinstance(thread, dict):
            yield _bare(thread, account_key, external_id)
            continue
        contact = {"wa_id": loose.text(thread, "id"), **loose.obj(thread, "context")}
        peers = names_of({}, contact).peers
        for member in loose.items(thread, "messages"):
            if not isinstance(member, dict) or not member:
                yield _bare(member, account_key, external_id)
                continue
            body = _dumps({**frame, "history_message": member, "contact": contact})
            yield RawItem(peers[0] if peers else account_key, body, external_id=external_id)
    facts = {name: content for name, content in chunk.items() if name != "threads"}
    if facts:
        yield RawItem(account_key, _dumps({**frame, "history": facts}), external_id=external_id)
