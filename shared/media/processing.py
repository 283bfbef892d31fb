"""Looks at stored files and converts them: by worker processes, over a private folder."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from signal import SIGKILL
from typing import Any
from weakref import WeakValueDictionary

from cachetools import LRUCache

from shared.media.blobs import CHUNK, BlobMissing, Blobs
from shared.media.facts import Facts, Look, Unfit
from shared.media.outcomes import MOVING, PICTURES, SOUNDS
from shared.workers import Busy, JobFailed, TooSlow, WorkerDied, Workers
from shared.workers.pool import Speed

LOOKED_AT = PICTURES | MOVING | SOUNDS | {"application/pdf"}
MEMORY = 768 * 1024 * 1024  # bytes that a job may map; the largest that is needed for what it should do is 430 MiB
LOOKING, CONVERTING, ENCODING = 10.0, 20.0, 90.0  # seconds
VERSION = 1  # of what conversions make: another one makes all of them anew
_AT_ONCE = 8  # copies of files in the private folder
_REMEMBERED = 4096
_JOBS = "shared.media.codecs.jobs"


@dataclass(frozen=True, slots=True)
class Looked:
    """What is known of a stored file."""

    facts: Facts
    sha256: str


@dataclass(frozen=True, slots=True)
class Made:
    """A file that was made of another: where it is, what it is, its bytes and their digest."""

    blob: str
    facts: Facts
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Preview:
    """What an inbox shows before it has the file: the facts, a JPEG, how loud a recording is."""

    facts: Facts
    thumbnail: bytes | None = None
    waveform: tuple[int, ...] = ()


class Processor:
    """Raises Unfit for a file that cannot be used, Busy when no worker is free, BlobMissing, BlobsUnavailable."""

    def __init__(self, blobs: Blobs, workers: Workers) -> None:
        self._blobs = blobs
        self._workers = workers
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._seen: LRUCache[tuple[str, str], Looked] = LRUCache(_REMEMBERED)
        self._digests: LRUCache[tuple[str, str], str] = LRUCache(_REMEMBERED)
        self._made: LRUCache[str, Made | str] = LRUCache(_REMEMBERED)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def look(self, blob: str, version: str, mime_type: str) -> Looked:
        """What is in a blob, all of which can be read. `version` names its content as long as it is under this key: it
        is looked at once."""
        async with self._alone(f"{blob} {version}"):
            if (known := self._seen.get((blob, version))) is not None:
                return known
            async with self._copied(blob) as (path, sha256):
                found = await self._looked(path, mime_type, None, whole=True, deadline=LOOKING)
            self._seen[blob, version] = looked = Looked(found.facts, sha256)
            return looked

    async def digest(self, blob: str, version: str) -> str:
        """The SHA-256 of a blob in hex, read once (see `look`)."""
        async with self._alone(f"{blob} {version}"):
            if (known := self._seen.get((blob, version))) is not None:
                return known.sha256
            if (digest := self._digests.get((blob, version))) is None:
                read = hashlib.sha256()
                async for chunk in self._blobs.stream(blob):
                    read.update(chunk)
                digest = self._digests[blob, version] = read.hexdigest()
            return digest

    async def preview(self, blob: str, mime_type: str, *, waveform: bool, patience: float, deadline: float) -> Preview:
        """What to show of a blob. Waits `patience` seconds for a worker, and `deadline` for the result."""
        async with self._copied(blob) as (path, _):
            thumbnail = path.with_name("thumbnail")
            found = await self._looked(
                path, mime_type, thumbnail, waveform=waveform, patience=patience, deadline=deadline
            )
            small = await asyncio.to_thread(thumbnail.read_bytes) if found.thumbnail else None
        return Preview(found.facts, small, found.waveform)

    async def convert(self, blob: str, source: Looked, recipe: dict[str, Any], folder: str) -> Made:
        """What a blob becomes by a recipe (`outcomes.recipe_of`): made once for each content, and kept in `folder`.

        What could not be made is remembered there, too: a bomb goes off once.
        """
        named = json.dumps([source.sha256, recipe, VERSION], sort_keys=True).encode()
        key = f"{folder}/{hashlib.sha256(named).hexdigest()}"
        async with self._alone(key):
            known = self._made.get(key) or await self._noted(key)
            if known is None:
                known = await self._converted(blob, source.facts, recipe, key)
            self._made[key] = known
        if isinstance(known, str):
            raise Unfit(known)  # type: ignore[arg-type]  # one of its reasons, as it was noted
        return known

    async def _converted(self, blob: str, facts: Facts, recipe: dict[str, Any], key: str) -> Made | str:
        note: dict[str, Any]
        result: Made | str
        async with self._copied(blob) as (path, _):
            target = path.with_name("target")
            job = {"path": str(path), "mime_type": facts.mime_type, "target": str(target), **recipe}
            lane, deadline = _lane(facts, recipe)
            try:
                answer = await self._done("convert", job, deadline=deadline, lane=lane)
                made = Facts(**answer["facts"])
                size, sha256 = await asyncio.to_thread(_measured, target)
                await self._blobs.put(key, _read(target), content_type=made.mime_type)
                note = {"facts": asdict(made), "size": size, "sha256": sha256}
                result = Made(key, made, size, sha256)
            except Unfit as unfit:
                if unfit.reason == "too_slow":  # perhaps only today
                    raise
                note, result = {"unfit": unfit.reason}, unfit.reason
        await self._blobs.put_small(f"{key}.json", json.dumps(note).encode(), content_type="application/json")
        return result

    async def _noted(self, key: str) -> Made | str | None:
        """What has become of it before, also in another process."""
        try:
            note = json.loads(await self._blobs.read(f"{key}.json"))
        except BlobMissing:
            return None
        return note["unfit"] if "unfit" in note else Made(key, Facts(**note["facts"]), note["size"], note["sha256"])

    async def _looked(self, path: Path, mime_type: str, thumbnail: Path | None, **how: Any) -> Look:
        wanted = {name: how.pop(name, False) for name in ("waveform", "whole")}
        asked = {"path": str(path), "mime_type": mime_type, **wanted}
        answer = await self._done("look", {**asked, "thumbnail": thumbnail and str(thumbnail)}, **how)
        return Look(Facts(**answer["facts"]), answer["thumbnail"], tuple(answer["waveform"]))

    async def _done(self, job: str, asked: dict[str, Any], **how: Any) -> dict[str, Any]:
        """The answer of a worker. A worker that dies of a file, or is too slow with it, makes it unfit."""
        try:
            answer = await self._workers.run(f"{_JOBS}:{job}", json.dumps(asked).encode(), memory=MEMORY, **how)
        except WorkerDied as died:
            if died.why == SIGKILL.name:  # not by the file: somebody, or the kernel for want of memory
                raise Busy("killed") from None
            raise Unfit("broken") from None
        except JobFailed:
            raise Unfit("broken") from None
        except TooSlow:
            raise Unfit("too_slow") from None
        found: dict[str, Any] = json.loads(answer)
        if "unfit" in found:
            raise Unfit(found["unfit"])
        return found

    @asynccontextmanager
    async def _alone(self, key: str) -> AsyncIterator[None]:
        """One at a time for each: a campaign sends one file to thousands at once."""
        async with self._locks.setdefault(key, asyncio.Lock()):
            yield

    @asynccontextmanager
    async def _copied(self, blob: str) -> AsyncIterator[tuple[Path, str]]:
        """A blob as a file of the private folder, and its digest."""
        try:
            async with asyncio.timeout(LOOKING):
                await self._room.acquire()
        except TimeoutError:
            raise Busy("too many files at once") from None
        try:
            async with _room_on_disk(), self._workers.folder() as folder:
                path, digest = folder / "source", hashlib.sha256()
                with await asyncio.to_thread(path.open, "wb") as file:
                    async for chunk in self._blobs.stream(blob):
                        digest.update(chunk)
                        await asyncio.to_thread(file.write, chunk)
                yield path, digest.hexdigest()
        finally:
            self._room.release()


@asynccontextmanager
async def _room_on_disk() -> AsyncIterator[None]:
    """A disk that is full, or not there, is one that is busy."""
    try:
        yield
    except OSError as full:
        raise Busy(type(full).__name__) from None


def _lane(facts: Facts, recipe: dict[str, Any]) -> tuple[Speed, float]:
    """Where a conversion is done, and how long it may take. What may only be copied is quick."""
    if recipe["to"] != "video/mp4":
        return "quick", CONVERTING
    limits = recipe["limits"]
    copied = facts.video == "h264" and facts.audio in (None, "aac") and not limits.get("note")
    return ("quick", CONVERTING) if copied and (facts.plain or not limits.get("plain")) else ("slow", ENCODING)


def _measured(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()


async def _read(path: Path) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(path.open, "rb") as file:
        while chunk := await asyncio.to_thread(file.read, CHUNK):
            yield chunk
