"""From a command to the mail that carries it out. Pure: what is not in the command or its context is not known here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from services.email.api.mail import compose, too_large
from services.email.capabilities import HTML_LIMIT, MAX_COPIES, SUBJECT_LIMIT, TEXT_LIMIT
from services.email.mailbox import Mailbox
from services.email.peers import normal_address
from services.email.send import markup, names
from services.email.send.content import Said, said
from services.email.settings import Settings
from services.email.shapes import SHAPES
from services.email.subjects import one_line, reply_subject
from services.email.threads import (
    chain,
    is_message_id,
    key_of,
    note_of,
    references_of,
    thread_keys,
    token_key,
    topic_of,
)
from services.email.tokens import Tokens, bounce_address, reply_address, report_name
from shared.channel import Call, InThread, PlanContext, Refused
from shared.contract import ids
from shared.contract.accounts import AccountRecord
from shared.contract.base import Alias, AliasKind
from shared.contract.commands import ActorKind, Command, CommandType, File, MessageSend, OutEmail
from shared.contract.errors import ErrorCode
from shared.contract.statuses import Warning, WarningCode
from shared.kit.drafts import check_references

METHOD = "send_mail"
_IN_BRACKETS = re.compile(r"[^<>]*<([^<>]+)>\s*")
_AUTOMATIC = frozenset({ActorKind.AI_AGENT, ActorKind.WORKFLOW})


def plan(
    kind: CommandType, command: Command, context: PlanContext, settings: Settings, tokens: Tokens
) -> Sequence[Call]:
    """One call, one mail. Raises Refused."""
    check_references(SHAPES, command)
    if not isinstance(command, MessageSend):
        raise Refused(ErrorCode.UNSUPPORTED_BY_CHANNEL, field="type")
    return (_Plan(command, context, settings, tokens).call(),)


def names_of(account: AccountRecord, command_id: str, tokens: Tokens) -> tuple[str, str]:
    """The Message-ID of a command's mail, and what reports name it by."""
    message_id = tokens.message_id(account.account_id, Mailbox.of(account).domain, command_id)
    return message_id, report_name(tokens.verp(account.account_id, command_id))


def recipient_of(to: Sequence[Alias]) -> str | None:
    """The address among the names of a contact."""
    found = (normal_address(alias.value) for alias in to if alias.kind is AliasKind.EMAIL)
    return next((address for address in found if address), None)


class _Plan:
    """The mail of one `message.send`."""

    def __init__(self, command: MessageSend, context: PlanContext, settings: Settings, tokens: Tokens) -> None:
        self._command = command
        self._context = context
        self._settings = settings
        self._tokens = tokens
        self._mailbox = Mailbox.of(context.account)
        self._names = names_of(context.account, command.command_id, tokens)
        self._message_id = self._names[0]
        self._new = isinstance(command.content, OutEmail) and command.content.thread == "new"
        self._warnings: list[Warning] = []

    def call(self) -> Call:
        to = self._recipient()
        content = said(self._command, self._context)
        self._warnings += content.warnings
        for name, words, limit in (("text", content.text, TEXT_LIMIT), ("html", content.html or "", HTML_LIMIT)):
            if len(words) > limit:
                raise Refused(ErrorCode.TEXT_TOO_LONG, field=f"content.{name}", limit=limit, actual=len(words))
        parent, references = self._parents()
        subject = self._subject(parent)
        token = self._tokens.verp(self._command.account_id, self._command.command_id)
        root = next(iter(references), parent or self._message_id)
        reply_token = self._tokens.reply_token(self._command.account_id, root) if self._mailbox.reply_tokens else None
        params: dict[str, Any] = {
            "message_id": self._message_id,
            "from": self._sender(),
            "to": to,
            **self._copies(to),
            **self._reply_to(reply_token),
            "subject": subject,
            **({"in_reply_to": parent} if parent else {}),
            **({"references": references} if references else {}),
            **self._automatic(parent),
            "envelope": self._envelope(token),
            "text": content.text,
        }
        files = self._attach(params, content)
        self._check_size(params, files)
        return Call(
            METHOD,
            params,
            files=files,
            warnings=tuple(self._warnings),
            names=self._names,
            thread=self._thread(subject, parent, references, reply_token),
        )

    # ------------------------------------------------------------------------------------------------ addresses

    def _recipient(self) -> str:
        """What the conversation has taught us, else what the command names."""
        known = self._context.address.get("email") or recipient_of(self._command.to)
        if known is None and self._command.conversation_id is not None:
            try:
                channel, _, peer = ids.split_conversation_id(self._command.conversation_id)
            except ValueError:
                channel, peer = "", ""
            if channel != "email":
                detail = "This is no email conversation."
                raise Refused(ErrorCode.INVALID_COMMAND, detail, field="conversation_id")
            known = peer  # an address only where somebody else has made the conversation's id
        address = normal_address(known or "")
        if address is None:
            where = "conversation_id" if self._command.conversation_id else "to"
            raise Refused(ErrorCode.RECIPIENT_UNKNOWN, "No address of this contact is known.", field=where)
        return address

    def _sender(self) -> dict[str, str]:
        address = self._mailbox.address or f"{self._command.account_id.lower()}@{self._mailbox.domain}"
        name = one_line(self._mailbox.from_name)
        return {"address": address, **({"name": name} if name else {})}

    def _copies(self, to: str) -> dict[str, list[str]]:
        content = self._command.content
        if not isinstance(content, OutEmail):
            return {}
        seen, copies = {to}, {"cc": content.cc, "bcc": content.bcc}
        found: dict[str, list[str]] = {}
        for name, given in copies.items():
            for index, one in enumerate(given):
                bracketed = _IN_BRACKETS.fullmatch(one[:1000])
                address = normal_address(bracketed[1] if bracketed else one)
                if address is None:
                    raise Refused(ErrorCode.INVALID_COMMAND, "This is no address.", field=f"content.{name}.{index}")
                if address not in seen:
                    found.setdefault(name, []).append(address)
                    seen.add(address)
        if len(seen) - 1 > MAX_COPIES:
            detail = f"A mail has at most {MAX_COPIES} recipients in copy; this one has {len(seen) - 1}."
            facts = {"limit": MAX_COPIES, "actual": len(seen) - 1}
            raise Refused(ErrorCode.INVALID_COMMAND, detail, field="content.cc", **facts)
        return found

    def _reply_to(self, token: str | None) -> dict[str, str]:
        if token is None or self._mailbox.address is None:
            return {}
        return {"reply_to": reply_address(token, self._mailbox.address)}

    def _envelope(self, token: str) -> dict[str, Any]:
        """What the server is told beside the mail: where reports of failure go, and what they call this mail."""
        domain = self._mailbox.bounce_domain
        envelope: dict[str, Any] = {"id": token, **({"sender": bounce_address(token, domain)} if domain else {})}
        return {**envelope, **({"receipts": True} if self._mailbox.delivery_receipts else {})}

    # ---------------------------------------------------------------------------------------------------- thread

    def _parents(self) -> tuple[str | None, list[str]]:
        """The message this one answers, and the chain that leads to it: the target of a reply, else the newest of the
        thread. Nothing for the first message of a thread."""
        known = references_of(self._context.thread)
        newest = self._context.thread.get("message_id")
        if self._new:
            if self._command.reply_to is not None:
                self._dropped("It begins a new thread, as the command says.")
            return None, []
        if self._command.reply_to is not None:
            target = self._context.target
            if target is not None and is_message_id(target.provider_message_id):
                parent = target.provider_message_id
                if parent in known:  # further up: what came after it does not lead there
                    return parent, chain(known[: known.index(parent)], parent)
                return parent, chain(known if parent == newest else known[:1], parent)
            if self._command.reply_policy == "strict":
                raise Refused(ErrorCode.REPLY_TARGET_UNKNOWN, field="reply_to")
            self._dropped("The message replied to is not known, or has no Message-ID.")
        if newest is None or not is_message_id(newest):
            return None, []
        return newest, chain(known, newest)

    def _dropped(self, why: str) -> None:
        detail = f"The message went out without its reply reference. {why}"
        self._warnings.append(Warning(code=WarningCode.REPLY_TO_DROPPED, detail=detail))

    def _subject(self, parent: str | None) -> str:
        """The command's; else that of the thread with exactly one `Re:`; else the account's."""
        content = self._command.content
        given = one_line((content.subject or "") if isinstance(content, OutEmail) else "")
        if len(given) > SUBJECT_LIMIT:
            raise Refused(ErrorCode.TEXT_TOO_LONG, field="content.subject", limit=SUBJECT_LIMIT, actual=len(given))
        known = self._context.thread.get("subject", "")
        if given:
            return given
        if known.strip() and not self._new:
            return reply_subject(known)
        return one_line(self._mailbox.default_subject or self._mailbox.from_name or self._mailbox.domain)

    def _thread(self, subject: str, parent: str | None, references: Sequence[str], token: str | None) -> InThread:
        """Where answers to this mail will be found. The thread keeps the subject of the contact's last mail."""
        target = self._context.target
        keys = thread_keys(self._message_id, parent, references)
        if parent is None and not self._new and target is not None:  # a mail without a Message-ID is known by ours
            keys = (*keys, key_of(target.provider_message_id))
        if token is not None:
            keys = (token_key(token), *keys)
        shown = (self._context.thread.get("subject") if parent else None) or subject
        return InThread(keys, note_of(shown, self._message_id, references), topic_of(shown))

    def _automatic(self, parent: str | None) -> dict[str, str]:
        """RFC 3834 §5, so that no other machine answers this one."""
        if self._command.actor.kind not in _AUTOMATIC:
            return {}
        return {"automatic": "auto-replied" if parent else "auto-generated"}

    # ----------------------------------------------------------------------------------------------------- files

    def _attach(self, params: dict[str, Any], content: Said) -> dict[str, File]:
        """Put the files into the call. Those that the html shows get a name that no other mail has."""
        token, _, domain = self._message_id.partition("@")
        new_names: dict[str, str] = {}
        attachments, files = [], {}
        for index, file in enumerate(content.files):
            name = names.filename(file, index)
            entry = {"file": f"file{index}", "filename": name, "mime_type": names.mime_type(file, name)}
            if index in content.shown:
                entry["content_id"] = f"{index}.{token}@{domain}"
                new_names |= dict.fromkeys(content.shown[index], entry["content_id"])
            if names.is_blocked(name):
                detail = "Gmail and other servers refuse mail with files of this type."
                field = f"content.attachments.{index}"
                self._warnings.append(Warning(code=WarningCode.MAY_BE_REFUSED, detail=detail, field=field))
            attachments.append(entry)
            files[entry["file"]] = file
        if content.html is not None:
            params["html"] = markup.renamed(content.html, new_names.get) if new_names else content.html
        if attachments:
            params["attachments"] = attachments
        return files

    def _check_size(self, params: dict[str, Any], files: dict[str, File]) -> None:
        """To the octet, where the sizes of all files are known: before anything is sent."""
        try:
            mail = compose(params)
        except ValueError:  # nothing that is known leads here; whatever does must not be sent
            raise Refused(ErrorCode.INVALID_COMMAND, "The mail's header cannot be written.", field="content") from None
        sizes = {name: file.size for name, file in files.items() if file.size is not None}
        if len(sizes) < len(files):
            return
        size, limit = mail.size(sizes), self._mailbox.max_size or self._settings.max_size
        if size > limit:
            raise Refused(
                ErrorCode.FILE_TOO_LARGE, too_large(size, limit), field="content.attachments", limit=limit, actual=size
            )
        cautious = self._settings.cautious_size
        if size > cautious:
            detail = f"The mail has {size:,} bytes; many mail servers take at most {cautious:,}."
            self._warnings.append(Warning(code=WarningCode.MAY_BE_REFUSED, detail=detail))
