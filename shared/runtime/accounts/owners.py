"""Whose a provider's name is: the first account that was served under an `external_id` keeps it.

Order on the accounts topic says nothing (it is compacted: an update moves a record behind), and neither does the order
in which a replica reads. What counts is the claim that stands on `channels.capabilities` with the account: since when
it has had its names. See docs/adr/0005.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from math import inf


@dataclass(frozen=True, slots=True)
class Names:
    """What a provider calls an account, and what the account belongs to; `workspace_id` is whose the account is.

    `further` names are the account's alone, as its `external_id` is; which of them it gets is decided name by name.
    """

    workspace_id: str
    external_id: str | None = None
    parent_id: str | None = None
    further: frozenset[str] = frozenset()

    def all(self) -> frozenset[str]:
        return self.further.union(name for name in (self.external_id, self.parent_id) if name)

    def own(self) -> frozenset[str]:
        """Those that nobody else may have."""
        return self.further | {self.external_id} if self.external_id else self.further


@dataclass(frozen=True, slots=True)
class Claim:
    """Since when an account has been served under its names."""

    names: Names
    since: datetime


class Owners:
    """The names of one channel's accounts, and who comes first where several want the same."""

    def __init__(self) -> None:
        self._names: dict[str, Names] = {}
        self._usable: set[str] = set()
        self._arrived: dict[str, int] = {}
        self._arrivals = 0
        self._claims: dict[str, Claim] = {}
        self._holders: dict[str, set[str]] = {}

    def put(self, account_id: str, names: Names, *, usable: bool) -> frozenset[str]:
        """An account and its names; `usable` is false where its record cannot be opened, so that it has never been
        served: without a claim it comes behind those that can. Returns the accounts whose place may have changed.
        """
        before = self._names.get(account_id)
        if before is None:
            self._arrivals += 1
            self._arrived[account_id] = self._arrivals
        touched = names.all() | (before.all() if before else frozenset())
        affected = self._sharing(touched)
        self._forget(account_id)
        self._names[account_id] = names
        for name in names.all():
            self._holders.setdefault(name, set()).add(account_id)
        (self._usable.add if usable else self._usable.discard)(account_id)
        return affected | {account_id}

    def drop(self, account_id: str) -> frozenset[str]:
        """The account is gone, and its claim with it."""
        names = self._names.get(account_id)
        self._forget(account_id)
        self._names.pop(account_id, None)
        self._usable.discard(account_id)
        self._arrived.pop(account_id, None)
        self._claims.pop(account_id, None)
        return self._sharing(names.all() if names else ())

    def claim(self, account_id: str, claim: Claim | None) -> frozenset[str]:
        """What stands with the account on the topic; None when it was taken away, which an account that is there
        survives: a replica that could not open its record may have done it."""
        if claim is None:
            if account_id not in self._names:
                self._claims.pop(account_id, None)
            return frozenset()
        self._claims[account_id] = claim
        return self._sharing(claim.names.all())

    def claimed(self, account_id: str) -> Claim | None:
        """The account's claim, where it stands for the names that the account has, but for further ones."""
        claim, names = self._claims.get(account_id), self._names.get(account_id)
        if claim is None or names is None:
            return None
        same = (claim.names.workspace_id, claim.names.external_id, claim.names.parent_id)
        return claim if same == (names.workspace_id, names.external_id, names.parent_id) else None

    def had(self, account_id: str) -> frozenset[str]:
        """The account's further names that are not somebody else's: what its claim is to say."""
        names = self._names.get(account_id)
        return frozenset(name for name in (names.further if names else ()) if self._first(name) == account_id)

    def names_claimed(self, account_id: str) -> Names | None:
        """The names of its claim: those of an account whose record cannot even be read."""
        claim = self._claims.get(account_id)
        return claim.names if claim else None

    def taken(self, account_id: str) -> bool:
        """Whether the account's `external_id` is somebody else's."""
        names = self._names.get(account_id)
        if names is None or names.external_id is None:
            return False
        first = self._first(names.external_id)
        if first is None or first == account_id:
            return False
        # What several accounts belong to may be an account by itself, but only in the same workspace.
        theirs = self._names[first]
        return names.external_id in theirs.own() or theirs.workspace_id != names.workspace_id

    def reached_by(self, name: str) -> list[str]:
        """The accounts that what is told of this name concerns: its owner, or all that belong to it."""
        first = self._first(name)
        if first is None:
            return []
        owner = self._names[first]
        found = []
        for account_id in sorted(self._holders[name], key=self._arrived.__getitem__):
            names = self._names[account_id]
            if names.external_id == name:
                reached = not self.taken(account_id)
            elif name in names.further:
                reached = account_id == first
            else:  # whoever names another's account as its parent gets nothing of it
                reached = owner.external_id != name or owner.workspace_id == names.workspace_id
            if reached:
                found.append(account_id)
        return found

    def _first(self, name: str) -> str | None:
        return min(self._holders.get(name, ()), key=lambda account_id: self._rank(account_id, name), default=None)

    def _rank(self, account_id: str, name: str) -> tuple[float, bool, float, str]:
        """Whoever claims a name goes before who does not, the earliest first; before claims are known, who can be
        opened, in the order of arrival."""
        claim = self._claims.get(account_id)
        held = claim is not None and name in claim.names.all()
        since = claim.since.timestamp() if claim is not None and held else inf
        return since, account_id not in self._usable, 0 if held else self._arrived[account_id], account_id

    def _sharing(self, names: Iterable[str]) -> frozenset[str]:
        """Those to whom it matters who comes first: whoever belongs to the same parent is the same as before."""
        return frozenset(
            holder for name in names for holder in self._holders.get(name, ()) if name in self._names[holder].own()
        )

    def _forget(self, account_id: str) -> None:
        names = self._names.get(account_id)
        for name in names.all() if names else ():
            holders = self._holders[name]
            holders.discard(account_id)
            if not holders:
                del self._holders[name]
