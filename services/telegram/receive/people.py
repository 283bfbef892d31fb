"""Users and chats as contacts, and people's names for sentences."""

from __future__ import annotations

from services.telegram.receive import wire
from shared.contract.base import AliasKind, Contact


def name_of_user(user: wire.User) -> str | None:
    """First and last name, else the username."""
    return f"{user.first_name or ''} {user.last_name or ''}".strip() or user.username


def name_of_chat(chat: wire.Chat) -> str | None:
    """The title of a group or channel, the name of a private chat's other side."""
    return chat.title or f"{chat.first_name or ''} {chat.last_name or ''}".strip() or chat.username


def _aliases(id_: int | None, username: str | None, kind: AliasKind = AliasKind.PROVIDER_ID) -> list[dict[str, str]]:
    found = [] if id_ is None else [{"kind": kind, "value": str(id_)}]
    if username:
        found.append({"kind": AliasKind.USERNAME, "value": username.removeprefix("@")})
    return found


def contact_of_user(user: wire.User) -> Contact:
    """A person or a bot."""
    # Every message has a sender: validated in one piece, which costs half of making the models one by one.
    return Contact.model_validate(
        {
            "aliases": _aliases(user.id, user.username),
            "display_name": name_of_user(user),
            "given_name": user.first_name,
            "family_name": user.last_name,
            "language": user.language_code,
            "is_bot": user.is_bot or None,
        }
    )


def is_private(chat: wire.Chat) -> bool:
    """Whether a chat is one with a person; the ids of groups and channels are negative."""
    return chat.type == "private" or (chat.type is None and (chat.id or 0) > 0)


def contact_of_chat(chat: wire.Chat) -> Contact:
    """The other side of a private chat, or a group or channel that writes as itself."""
    return Contact.model_validate(
        {
            "aliases": _aliases(chat.id, chat.username, AliasKind.PROVIDER_ID if is_private(chat) else AliasKind.GROUP),
            "display_name": name_of_chat(chat),
            "given_name": chat.first_name,
            "family_name": chat.last_name,
        }
    )
