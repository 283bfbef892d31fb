"""Addresses as names of people: one spelling each, so that the same address is the same conversation."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

import idna

from shared.contract import ids

# A dot-atom (RFC 5322 §3.2.3), also in other scripts (RFC 6532). Quoted local parts are not written to.
_LOCAL = re.compile(r"[a-z0-9!#$%&'*+/=?^_`{|}~\u00a1-\U0010ffff-]+(\.[a-z0-9!#$%&'*+/=?^_`{|}~\u00a1-\U0010ffff-]+)*")
_LABELS = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*")
_LONGEST = 320  # characters; longer is no address, and not worth a look
_LOCAL_OCTETS = 64  # RFC 5321 §4.5.3.1.1


@lru_cache(4096)  # a mail names its few addresses in many places
def normal_address(address: str) -> str | None:
    """The address in lower case and NFC, its domain as A-labels (RFC 5891); None for what nobody can write to.

    Plus parts and dots stay: merging strangers is worse than two conversations.
    """
    if len(address) > _LONGEST:
        return None
    local, at, domain = unicodedata.normalize("NFC", address.strip()).rpartition("@")
    local, ascii_domain = local.lower(), domain_name(domain)
    if not at or ascii_domain is None or not _LOCAL.fullmatch(local) or len(local.encode()) > _LOCAL_OCTETS:
        return None
    return f"{local}@{ascii_domain}"


def domain_name(domain: str) -> str | None:
    """A domain as A-labels in lower case; None for what is none."""
    try:
        name = domain.lower() if domain.isascii() else idna.encode(domain, uts46=True).decode()
    except (idna.IDNAError, UnicodeError):
        return None
    return name if _LABELS.fullmatch(name) else None


def peer_of_address(address: str) -> str:
    """The peer of a normal address. Anybody who knows an address can tell its peer: the digest has no key."""
    return ids.personal_peer(address)
