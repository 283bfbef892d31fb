"""Which thread of its conversation a message belongs to, and what its channel keeps of the thread."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import orjson

from shared.channel import InThread
from shared.contract import ids
from shared.runtime.reporting.identity import merged_peers
from shared.state.store import Store


@dataclass(frozen=True, slots=True)
class Joined:
    """The thread of a message, and what the thread was about before; None where that is not known."""

    thread_id: str
    topic: str | None


class Threads:
    """The threads of all conversations. Every method raises StateUnavailable.

    A conversation that has become part of another one keeps its own; they are looked for there as well. `known` are a
    conversation's fields of state, which name those.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def join(
        self, conversation_id: str, thread: InThread, refs: Iterable[str], known: Mapping[str, str]
    ) -> Joined:
        """Find the thread of a message, or begin it. `refs` are the message's own: replies may name it by them."""
        names = [*thread.keys, *map(_name_of_ref, refs)]
        new_id = thread.keys[-1]
        before = _merged(conversation_id, known)
        if before and await self._store.find_thread(conversation_id, names) is None:
            new_id = await self._find(before, names) or new_id
        thread_id = await self._store.join_thread(conversation_id, names, new_id)
        fields = await self._fields((conversation_id, *before), thread_id)
        return Joined(thread_id, fields.get("topic"))

    async def keep(self, conversation_id: str, thread_id: str, thread: InThread) -> None:
        """The message is out: from now on its note is the thread's."""
        fields = {"note": orjson.dumps(dict(thread.note)).decode()}
        if thread.topic is not None:
            fields["topic"] = thread.topic
        await self._store.keep_note(conversation_id, thread_id, fields)

    async def note(self, conversation_id: str, ref: str | None, known: Mapping[str, str]) -> Mapping[str, str]:
        """The note of the thread that the message with this reference is in, else of the one written in last."""
        newest = known.get("thread")
        if newest is None:
            return {}
        there = (conversation_id, *_merged(conversation_id, known))
        thread_id = (await self._find(there, [_name_of_ref(ref)]) if ref else None) or newest
        kept = (await self._fields(there, thread_id)).get("note")
        return orjson.loads(kept) if kept else {}

    async def _find(self, conversations: Sequence[str], names: Sequence[str]) -> str | None:
        for conversation_id in conversations:
            if (thread_id := await self._store.find_thread(conversation_id, names)) is not None:
                return thread_id
        return None

    async def _fields(self, conversations: Sequence[str], thread_id: str) -> Mapping[str, str]:
        for conversation_id in conversations:
            if fields := await self._store.thread_note(conversation_id, thread_id):
                return fields
        return {}


def _merged(conversation_id: str, known: Mapping[str, str]) -> list[str]:
    """The conversations that have become part of this one."""
    channel, account_id, _ = ids.split_conversation_id(conversation_id)
    return [ids.conversation_id(channel, account_id, peer) for peer in merged_peers(known)]


def _name_of_ref(ref: str) -> str:
    return f"ref:{ref}"
