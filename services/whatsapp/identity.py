"""Who somebody is on WhatsApp: business-scoped user id, phone number, username or group, any of them absent.

A business-scoped user id (BSUID) is a country code, a dot and up to 128 alphanumerics; it may sit in a phone key.
Phone numbers are taken as Meta writes them: Brazilian, Mexican and Argentinian variants are never rewritten.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

from shared.contract import ids
from shared.contract.base import Alias, AliasKind, Contact
from shared.kit import loose
from shared.kit.loose import Json
from shared.kit.words import is_visible

# Letters that are drawn as nothing: people choose them for a name that is none.
_DRAWN_AS_NOTHING = dict.fromkeys(map(ord, "\u115f\u1160\u2800\u3164\uffa0"))

_BSUID = re.compile(r"[A-Z]{2}\.(?:ENT\.)?[A-Za-z0-9]{1,128}")
_PUNCTUATION = str.maketrans("", "", " -().\u00a0")
_PERSONAL_PEER = re.compile(r"p-[0-9a-f]{30}")
_CHANGED = re.compile(r"\bfrom\s+(\S+)\s+to\s+(\S+?)\.?\s*$")

_PARENT_KEYS = (
    "parent_user_id",
    "from_parent_user_id",
    "to_parent_user_id",
    "parent_recipient_user_id",
    "recipient_parent_user_id",
)


def is_bsuid(value: str) -> bool:
    """Whether the value is a business-scoped user id (never to be treated as a phone number)."""
    return value[2:3] == "." and _BSUID.fullmatch(value) is not None


def is_personal_peer(value: str) -> bool:
    """Whether a peer stands for a phone number it does not show."""
    return _PERSONAL_PEER.fullmatch(value) is not None


def former_user_id(system: Json) -> str | None:
    """The user id somebody had before, of a system message; not every version has it outside of the sentence."""
    if named := loose.text(system, "previous_user_id"):
        return named
    told = _CHANGED.search(loose.text(system, "body") or "")
    return told[1] if told and is_bsuid(told[1]) and told[2] == loose.text(system, "user_id") else None


@lru_cache(4096)  # asked several times about each number of a webhook
def phone_digits(value: str) -> str | None:
    """The digits of a phone number with the usual punctuation taken out; None for what is no number."""
    digits = value.strip().removeprefix("+").translate(_PUNCTUATION)
    return digits if digits.isascii() and digits.isdigit() and 5 <= len(digits) <= 20 else None


def phone_alias(digits: str) -> Alias | None:
    """The E.164 alias of a number, or None where it cannot be one."""
    return Alias(kind=AliasKind.PHONE, value=f"+{digits}") if 7 <= len(digits) <= 15 else None


@dataclass(slots=True)
class Identity:
    """The names of one person in one payload; `phones` as Meta gave them, the most reliable first.

    `opaque` is what a phone key holds that is no number, `unread` what a user-id key holds that is no BSUID: names
    of last resort, which say nothing where there is a better one. `key` is Meta's hash of who it is.
    """

    bsuid: str | None = None
    parent: str | None = None
    phones: list[str] = field(default_factory=list)
    opaque: str | None = None
    unread: str | None = None
    username: str | None = None
    display_name: str | None = None
    key: str | None = None
    _peers: list[str] | None = None

    def add(self, value: str | None, key: str = "wa_id") -> None:
        """Take the value of a phone or user-id key for what it looks like; a user-id key never holds a number."""
        if value is None:
            return
        self._peers = None
        if is_bsuid(value):
            if ".ENT." in value:
                self.parent = self.parent or value
            else:
                self.bsuid = self.bsuid or value
        elif key.endswith("user_id"):
            self.unread = self.unread or value
        elif digits := phone_digits(value):
            if digits not in self.phones:
                self.phones.append(digits)
        else:
            self.opaque = self.opaque or value

    @property
    def peers(self) -> list[str]:
        """Peers this person may be known by, strongest first; no personal data in the clear."""
        if self._peers is None:
            names = (self.bsuid, *map(ids.personal_peer, self.phones), self.parent)
            found = [name for name in names if name]
            last_resort = self.opaque or self.unread
            self._peers = found or ([ids.personal_peer(last_resort)] if last_resort else [])
        return self._peers

    def aliases(self) -> tuple[Alias, ...]:
        """Every name, for the contract."""
        found = []
        if self.bsuid:
            found.append(Alias(kind=AliasKind.BSUID, value=self.bsuid))
        if self.parent:
            found.append(Alias(kind=AliasKind.PARENT_BSUID, value=self.parent))
        found.extend(alias for alias in map(phone_alias, self.phones) if alias)
        last_resort = next(iter(self.phones), None) or self.opaque or self.unread
        if last_resort and not found:
            found.append(Alias(kind=AliasKind.PROVIDER_ID, value=last_resort))
        if self.username:
            found.append(Alias(kind=AliasKind.USERNAME, value=self.username))
        return tuple(found)

    def contact(self) -> Contact:
        return Contact(aliases=self.aliases(), display_name=self.display_name, identity_key=self.key)

    def address(self) -> dict[str, str]:
        """What a message to this person needs."""
        found = {"bsuid": self.bsuid or self.parent, "phone": self.phones[0] if self.phones else None}
        return {name: value for name, value in found.items() if value}


def identity(source: Json, contact: Json, *keys: str) -> Identity:
    """The person behind `source` (a message, a status), read from `keys` and the matching contact."""
    person = names_of(source, contact, *keys)
    profile = loose.obj(contact, "profile")
    username = loose.text(profile, "username") or loose.text(contact, "username")
    person.username = username.removeprefix("@") if username else None
    name = loose.text(profile, "name")
    person.display_name = name if name and is_visible(name.translate(_DRAWN_AS_NOTHING)) else None
    person.key = loose.text(contact, "identity_key_hash") or loose.text(loose.obj(source, "identity"), "hash")
    return person


def names_of(source: Json, contact: Json, *keys: str) -> Identity:
    """As `identity`, without what is only shown: all that finds the conversation."""
    person = Identity()
    for key in PERSON:
        person.add(loose.text(contact, key), key)
    for key in keys:
        person.add(loose.text(source, key), key)
    for holder in (source, contact):
        if not holder.keys().isdisjoint(_PARENT_KEYS):  # rare, and five readers cost more than the rest
            person.add(loose.text(holder, *_PARENT_KEYS), "parent_user_id")
    return person


AUTHOR = ("from_user_id", "from")
ADDRESSEE = ("to_user_id", "recipient", "to")
RECIPIENT = ("recipient_user_id", "recipient_id")
PERSON = ("user_id", "wa_id")
