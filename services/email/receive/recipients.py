"""Whose an address is: the accounts by all the addresses that mail for them may be sent to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from services.email.mailbox import Mailbox
from services.email.peers import normal_address
from services.email.tokens import Tokens, read_recipient
from shared.channel import Account


class Recipients:
    """The accounts that are served now; `changed` keeps it so.

    Several may be named after an address (`external_id`), or list it among their further ones: `owners` says whose it
    is. Plus parts are taken off only here, where the rest is an address of ours.
    """

    def __init__(self, tokens: Tokens, owners: Callable[[str], Sequence[str]]) -> None:
        self._tokens = tokens
        self._owners = owners
        self._accounts: dict[str, Account] = {}
        self._mailboxes: defaultdict[str, set[str]] = defaultdict(set)  # by their addresses
        self._bounces: defaultdict[str, set[str]] = defaultdict(set)  # by the domain of their envelope senders

    def changed(self, account_id: str, account: Account | None) -> None:
        """The account is served like this from now on, or no longer."""
        if (before := self._accounts.pop(account_id, None)) is not None:
            for index, name in self._names(Mailbox.of(before.record)):
                index[name].discard(account_id)
                if not index[name]:
                    del index[name]
        if account is not None:
            self._accounts[account_id] = account
            for index, name in self._names(Mailbox.of(account.record)):
                index[name].add(account_id)

    def _names(self, box: Mailbox) -> list[tuple[defaultdict[str, set[str]], str]]:
        addresses = {*box.addresses, box.address} - {None}
        bounces = [(self._bounces, box.bounce_domain)] if box.bounce_domain else []
        return [*((self._mailboxes, address) for address in addresses if address), *bounces]

    def account_of(self, address: str) -> Account | None:
        """The account that mail to this address is for."""
        known = normal_address(address)
        if known is None:
            return None
        local, _, domain = known.rpartition("@")
        token = read_recipient(local)
        if token is not None and token[0] == "bounce":
            for account_id in self._bounces.get(domain, ()):
                if self._tokens.accepts("bounce", account_id, token[1]):
                    return self._accounts[account_id]
        base = local[: -len(token[1]) - 2] if token is not None else local.partition("+")[0]
        return self._of(known) or self._of(f"{base}@{domain}")

    def _of(self, address: str) -> Account | None:
        """The owner, where it is served here."""
        known = self._mailboxes.get(address, ())
        owner = next(iter(self._owners(address)), None) if known else None
        return self._accounts[owner] if owner is not None and owner in known else None
