"""Whose an address is: the accounts by all the addresses that mail for them may be sent to."""

from __future__ import annotations

from collections import defaultdict

from services.email.mailbox import Mailbox
from services.email.peers import normal_address
from services.email.tokens import Tokens, read_recipient
from shared.channel import Account


class Recipients:
    """The accounts that are served now; `changed` keeps it so.

    An address is that of the account which is named after it (`external_id`), else of one that lists it among its
    further ones. Plus parts are taken off only here, where the rest is an address of ours.
    """

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._accounts: dict[str, Account] = {}
        self._named: defaultdict[str, set[str]] = defaultdict(set)
        self._listed: defaultdict[str, set[str]] = defaultdict(set)
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
        named = [(self._named, box.address)] if box.address else []
        bounces = [(self._bounces, box.bounce_domain)] if box.bounce_domain else []
        return [*named, *((self._listed, address) for address in set(box.addresses)), *bounces]

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
        """Where two accounts list an address, every replica takes the same one: nobody gets a copy of another's."""
        found = self._named.get(address) or self._listed.get(address)
        return self._accounts[min(found)] if found else None
