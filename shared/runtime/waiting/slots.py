"""Slots: how much may be under way at others' servers, and how much of one account, so that what hangs leaves room."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from time import monotonic

from shared.stream.errors import NotNow

BUSY_SECONDS = 0.05
SLOT_SECONDS = 1.0
LONGEST_WAIT = 10.0
SLOW_SECONDS = 3.0  # under way for so long, a call is slow: nearly all take less than one
REMEMBERED_SECONDS = 30.0  # after its last slow call an account is taken for slow


@dataclass(slots=True)
class _Account:
    """What is under way of an account; `well` is when one of its calls last ended well, or its first one began."""

    well: float
    quick: int = 0
    slow: int = 0
    slow_until: float = 0.0  # how long it is taken for slow although nothing of it is


@dataclass(slots=True, eq=False)
class Slot:
    """One call's slot; `failed` is set by whom it has led nowhere."""

    account_id: str
    began: float
    slow: bool = field(default=False)  # it is one of the slots for slow calls
    failed: bool = field(default=False)


class AccountSlots:
    """The slots of a role in this process: `quick` ones, and `slow` ones for what takes long.

    A call that has been under way for `SLOW_SECONDS` moves to the slow slots, while there is room, and the account's
    next calls begin there: however many accounts hang, they hold quick slots for that long only. Of either kind an
    account gets another one only while more are free than it has, half of them all not counted; its first one while
    any is free. So a handful of busy accounts never takes the last ones, and the more there are, the less each has.
    No account has more than `each`.
    """

    def __init__(self, each: int, quick: int, slow: int) -> None:
        self._each = each
        self._sizes = (quick, slow)
        self._free = [quick, slow]
        self._accounts: dict[str, _Account] = {}
        self._young: OrderedDict[Slot, None] = OrderedDict()  # in the order they were taken
        self._crowded: OrderedDict[Slot, None] = OrderedDict()  # slow calls in quick slots: there was no room
        self._remembered: OrderedDict[str, None] = OrderedDict()  # accounts taken for slow, the latest last
        self._kept: dict[str, dict[Slot, None]] = {}  # of an account, in the order they were given
        self._queues: OrderedDict[str, deque[asyncio.Future[Slot]]] = OrderedDict()

    async def kept(self, account_id: str) -> AbstractContextManager[None]:
        """Wait until the account may have a slot, and keep it for a call that is prepared inside of the context.

        Whoever only saw one free would find it taken by then, and would have prepared his call for nothing. After
        `LONGEST_WAIT` seconds none is kept: not every caller needs one. Nor where the account hangs: its turn may not
        come for long, and who asks has better to wait elsewhere.
        """
        self._age()
        kind = self._may(account_id)
        if kind is not None:
            return self._keeping(self._begun(account_id, kind, kept=True))
        slot = await self._called(account_id)
        return nullcontext() if slot is None else self._keeping(slot)

    async def _called(self, account_id: str) -> Slot | None:
        """The slot that the account gets when one becomes free, unless it hangs."""
        queue = self._queues.setdefault(account_id, deque())
        called: asyncio.Future[Slot] = asyncio.get_running_loop().create_future()
        queue.append(called)
        ends = monotonic() + LONGEST_WAIT
        try:
            # What ages makes room, too, and calls nobody by itself.
            while not called.done() and monotonic() < ends and not self.hangs(account_id):
                await asyncio.wait((called,), timeout=self._until_next())
        except asyncio.CancelledError:
            if called.done():
                self._let_go(called.result())
            raise
        finally:
            if not called.done():
                queue.remove(called)
            if not queue and self._queues.get(account_id) is queue:
                del self._queues[account_id]
        return called.result() if called.done() else None

    @contextmanager
    def _keeping(self, slot: Slot) -> Iterator[None]:
        try:
            yield
        finally:
            if slot in self._kept.get(slot.account_id, ()):
                self._let_go(slot)

    def _let_go(self, slot: Slot) -> None:
        """Nobody has used the slot that was kept."""
        self._use(slot)
        self._count(self._accounts[slot.account_id], slot, -1)
        self._forget(slot.account_id)
        self._call(slot.account_id)

    def _use(self, slot: Slot) -> None:
        kept = self._kept[slot.account_id]
        del kept[slot]
        if not kept:
            del self._kept[slot.account_id]

    def _begun(self, account_id: str, kind: int, *, kept: bool) -> Slot:
        now = monotonic()
        account = self._accounts.setdefault(account_id, _Account(now))
        slot = Slot(account_id, now, slow=bool(kind))
        self._count(account, slot, 1)
        if kept:
            self._kept.setdefault(account_id, {})[slot] = None
        return slot

    def hangs(self, account_id: str) -> bool:
        """Whether the account gets no slot now because its calls take long and none of them ends well."""
        self._age()
        account = self._accounts.get(account_id)
        if account is None or account_id in self._kept or not self._is_slow(account):
            return False
        if self._may(account_id) is not None:
            return False
        return monotonic() - account.well >= SLOW_SECONDS

    @contextmanager
    def taken(self, account_id: str) -> Iterator[Slot]:
        """Hold one of the account's slots: one that is kept, or else a free one. Raises NotNow when it may have none.

        Which of the account's kept slots it is does not matter: they are all for calls that are about to be made.
        """
        self._age()
        if kept := self._kept.get(account_id):
            slot = next(iter(kept))
            self._use(slot)
            slot.began = monotonic()
        elif (kind := self._may(account_id)) is not None:
            slot = self._begun(account_id, kind, kept=False)
        else:
            raise NotNow(BUSY_SECONDS, "account_busy")
        account = self._accounts[account_id]
        if not slot.slow:
            self._young[slot] = None
        try:
            yield slot
        except BaseException:
            slot.failed = True
            raise
        finally:
            self._give_back(account, slot)

    def _give_back(self, account: _Account, slot: Slot) -> None:
        now = monotonic()
        self._young.pop(slot, None)
        self._crowded.pop(slot, None)
        self._count(account, slot, -1)
        if not slot.failed:
            account.well = now
        if now - slot.began >= SLOW_SECONDS:
            self._remember(slot.account_id, account)
        self._forget(slot.account_id)
        self._age()
        self._call(slot.account_id)

    def _count(self, account: _Account, slot: Slot, one: int) -> None:
        self._free[slot.slow] -= one
        if slot.slow:
            account.slow += one
        else:
            account.quick += one

    def _may(self, account_id: str) -> int | None:
        """Which kind of slot the account may have now: 0 a quick one, 1 a slow one, None none."""
        account = self._accounts.get(account_id)
        if account is None:
            return 0 if self._free[0] > 0 else None
        kind = int(self._is_slow(account))
        has = account.slow if kind else account.quick
        free = self._free[kind]
        fair = free > 0 and (has == 0 or has < free - self._sizes[kind] // 2)
        return kind if fair and account.quick + account.slow < self._each else None

    @staticmethod
    def _is_slow(account: _Account) -> bool:
        return account.slow > 0 or account.slow_until > monotonic()

    def _age(self) -> None:
        """Move what has become slow, and forget who was slow long ago."""
        now = monotonic()
        while self._young and now - (slot := next(iter(self._young))).began >= SLOW_SECONDS:
            del self._young[slot]
            self._crowded[slot] = None
            self._remember(slot.account_id, self._accounts[slot.account_id])
        while self._crowded and self._free[1] > 0:
            slot, _ = self._crowded.popitem(last=False)
            account = self._accounts[slot.account_id]
            self._count(account, slot, -1)
            slot.slow = True
            self._count(account, slot, 1)
            self._call(slot.account_id)
        while self._remembered:
            account_id = next(iter(self._remembered))
            if self._accounts[account_id].slow_until > now:
                break
            del self._remembered[account_id]
            self._forget(account_id)

    def _remember(self, account_id: str, account: _Account) -> None:
        account.slow_until = monotonic() + REMEMBERED_SECONDS
        self._remembered[account_id] = None
        self._remembered.move_to_end(account_id)

    def _forget(self, account_id: str) -> None:
        account = self._accounts[account_id]
        if not account.quick and not account.slow and account_id not in self._remembered:
            del self._accounts[account_id]

    def _call(self, account_id: str) -> None:
        """A slot has become free: call who waits for it, of this account or else of the one that waits longest."""
        if not self._queues:
            return
        for waiting in (account_id, *self._queues):
            queue = self._queues.get(waiting)
            if queue and (kind := self._may(waiting)) is not None:
                queue.popleft().set_result(self._begun(waiting, kind, kept=True))
                self._queues.move_to_end(waiting)
                if not queue:
                    del self._queues[waiting]
                return

    def _until_next(self) -> float:
        """Seconds after which something may have become free without anybody calling."""
        oldest = next(iter(self._young), None)
        aged = SLOT_SECONDS if oldest is None else oldest.began + SLOW_SECONDS - monotonic()
        return min(SLOT_SECONDS, max(BUSY_SECONDS, aged))
