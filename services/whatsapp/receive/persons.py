"""Whom a member of a webhook is about: the contact beside it, and the key that keeps its conversation in order."""

from __future__ import annotations

from services.whatsapp.identity import ADDRESSEE, PERSON, former_user_id, names_of, phone_digits
from shared.kit import loose
from shared.kit.loose import Json


class Contacts:
    """The contacts of a value, joined to its items by user id, then by phone; never by position."""

    def __init__(self, contacts: list[Json], members: int) -> None:
        self._by_name = {
            name: contact for contact in reversed(contacts) for key in PERSON if (name := _plain(contact, key))
        }
        self._only = contacts[0] if len(contacts) == members == 1 else None

    def of(self, item: Json, keys: tuple[str, ...]) -> Json | None:
        for key in keys:
            name = _plain(item, key)
            if name and name in self._by_name:
                return self._by_name[name]
        # A system message never has a contact, so one beside it is not its author.
        return None if item.get("type") == "system" else self._only


def _plain(source: Json, key: str) -> str | None:
    """A name to compare: a number may have its plus in one place and not in the other."""
    name = loose.text(source, key)
    return (phone_digits(name) or name) if name else None


def key_of(member: Json, contact: Json | None, keys: tuple[str, ...]) -> str | None:
    """What the items of one conversation have in common, as far as a member says."""
    group = loose.text(member, "recipient_id" if member.get("recipient_type") == "group" else "group_id")
    if group:
        return group
    # Of the id the conversation has had so far.
    system = loose.obj(member, "system")
    previous = former_user_id(system) if system else loose.text(loose.obj(member, "user_id"), "previous")
    if previous:
        return previous
    peers = names_of(member, contact or {}, *keys).peers if keys else _synced_peer(member)
    return peers[0] if peers else None


def _synced_peer(member: Json) -> list[str]:
    return names_of(loose.obj(member, "contact"), {}, "user_id", "phone_number").peers


def wrote_ourselves(metadata: Json, member: Json) -> bool:
    """Whether a member of `messages[]` is an echo of what our own number sent."""
    if loose.text(member, *ADDRESSEE) is None:
        return False
    business = phone_digits(loose.text(metadata, "display_phone_number") or "")
    return business is not None and business == phone_digits(loose.text(member, "from") or "")
