"""The pool: worker processes of our own, each with one job at a time, killed when it takes too long.

Quick jobs (a picture, a mail) and slow ones (a video) have workers of their own. A worker that dies takes its job with
it and no other; the next job gets a fresh one.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from signal import SIGKILL, Signals
from typing import Literal

from shared.workers.scratch import Scratch
from shared.workers.worker import ANSWER, BEGUN, DONE, LAST, OUT_OF_MEMORY, REQUEST

Speed = Literal["quick", "slow"]

MOST_WAITING = 64  # jobs per lane: what comes on top is told so at once
PATIENCE = 30.0  # seconds until a worker must be free
STARTING = 15.0  # seconds for a worker to start, to read its job and to import what does it
MOST_BYTES = 64 * 1024 * 1024  # of a payload, and of an answer
_BUFFER = 1024 * 1024
_ENDING = 1.0  # seconds for a process whose pipe has closed to be gone by itself
_DYING = 5.0  # seconds for a killed process to be gone


class WorkerTrouble(Exception):
    """A job has no result."""


class Busy(WorkerTrouble):
    """No worker was free in time; the job has not begun."""


class TooSlow(WorkerTrouble):
    """The job was not done at its deadline; its worker has been killed."""


class WorkerDied(WorkerTrouble):
    """The worker ended before the job did: `why` is the name of a signal, or `memory`; `begun` whether the job had."""

    def __init__(self, why: str, *, begun: bool = True) -> None:
        super().__init__(why)
        self.why = why
        self.begun = begun


class JobFailed(WorkerTrouble):
    """The job raised: `kind` is the name of the exception's type."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class Workers:
    """At most `quick` and `slow` worker processes, started when they are needed. Belongs to one event loop.

    Call it from the thread that lives as long as the service: the kernel ends the workers with the thread that started
    them.
    """

    def __init__(self, *, quick: int = 1, slow: int = 1) -> None:
        self._scratch: Scratch | None = None
        self._opening = asyncio.Lock()
        self._lanes: dict[Speed, _Lane] = {"quick": _Lane(quick), "slow": _Lane(slow)}
        self._closed = False

    async def run(
        self,
        call: str,
        payload: bytes,
        *,
        deadline: float,
        memory: int,
        lane: Speed = "quick",
        patience: float = PATIENCE,
    ) -> bytes:
        """What `module:function` makes of the payload in a worker, within `deadline` seconds and `memory` bytes.

        It waits `patience` seconds for a free worker. Cancelling kills the worker, too. A job whose worker was killed
        from outside (the kernel was short of memory), or had died before it began, is done once more. Raises
        WorkerTrouble.
        """
        if len(payload) > MOST_BYTES:
            raise ValueError(f"a payload of more than {MOST_BYTES} bytes")
        job = json.dumps({"call": call, "deadline": deadline, "memory": memory}).encode()
        try:
            return await self._once(job, payload, deadline, lane, patience)
        except WorkerDied as died:
            if died.begun and died.why != SIGKILL.name:
                raise
            return await self._once(job, payload, deadline, lane, patience)

    async def _once(self, job: bytes, payload: bytes, deadline: float, lane: Speed, patience: float) -> bytes:
        if self._closed:
            raise Busy("closed")
        async with self._lanes[lane].worker(patience) as worker:
            return await worker.do(job, payload, deadline)

    @asynccontextmanager
    async def folder(self) -> AsyncIterator[Path]:
        """An empty private directory for the files of one job, gone with what is in it afterwards."""
        async with self._opening:
            if self._scratch is None:
                self._scratch = await asyncio.to_thread(Scratch)
        made = Path(tempfile.mkdtemp(dir=self._scratch.path))
        try:
            yield made
        finally:
            await asyncio.to_thread(shutil.rmtree, made, ignore_errors=True)

    async def close(self) -> None:
        """Kill all workers, whatever they do, and remove what they worked on."""
        self._closed = True
        await asyncio.gather(*(lane.close() for lane in self._lanes.values()))
        if self._scratch is not None:
            await asyncio.to_thread(self._scratch.close)
            self._scratch = None


class _Lane:
    """The workers for one kind of job, and the queue before them."""

    def __init__(self, size: int) -> None:
        self._places = asyncio.Semaphore(size)
        self._waiting = 0
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()

    @asynccontextmanager
    async def worker(self, patience: float) -> AsyncIterator[_Worker]:
        """A worker for one job. It is kept for the next one only if it can take one."""
        await self._place(patience)
        try:
            worker = self._rested()
            try:
                yield worker
            finally:
                if worker.usable:
                    self._idle.append(worker)
                else:
                    await worker.end()
                    self._all.discard(worker)
        finally:
            self._places.release()

    async def _place(self, patience: float) -> None:
        if self._waiting >= MOST_WAITING:
            raise Busy("too many jobs wait")
        self._waiting += 1
        try:
            async with asyncio.timeout(patience):
                await self._places.acquire()
        except TimeoutError:
            raise Busy("no worker was free in time") from None
        finally:
            self._waiting -= 1

    def _rested(self) -> _Worker:
        """A worker that waits for a job, or one that has yet to be started."""
        while self._idle:
            if (worker := self._idle.pop()).usable:
                return worker
            self._all.discard(worker)  # it has died at rest
        self._all.add(worker := _Worker())
        return worker

    async def close(self) -> None:
        await asyncio.gather(*(worker.end() for worker in self._all))
        self._idle.clear()
        self._all.clear()


class _Worker:
    """One process, and whether it waits for a job."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._at_rest = False

    @property
    def usable(self) -> bool:
        return self._at_rest and self._process is not None and self._process.returncode is None

    async def do(self, job: bytes, payload: bytes, deadline: float) -> bytes:
        """Raises TooSlow, WorkerDied, JobFailed; ends the process in the first two cases."""
        self._at_rest = begun = False
        try:
            async with asyncio.timeout(STARTING):
                answers = await self._hand_over(job, payload)
            begun = True
            async with asyncio.timeout(deadline):
                ended, size = ANSWER.unpack(await answers.readexactly(ANSWER.size))
                if size > MOST_BYTES:
                    raise WorkerDied("answer too large")
                answer = await answers.readexactly(size)
        except TimeoutError:
            raise TooSlow(f"not done after {deadline} s") from None
        except (asyncio.IncompleteReadError, BrokenPipeError, ConnectionResetError):
            raise WorkerDied(await self._cause(), begun=begun) from None
        self._at_rest = not ended & LAST
        ended &= ~LAST
        if ended == OUT_OF_MEMORY:
            raise WorkerDied("memory")
        if ended != DONE:
            raise JobFailed(answer.decode(errors="replace"))
        return answer

    async def _hand_over(self, job: bytes, payload: bytes) -> StreamReader:
        """Give the worker its job, and wait until it has begun."""
        if self._process is None:
            self._process = await _started()
        requests, answers = _pipes(self._process)
        try:
            requests.write(REQUEST.pack(len(job), len(payload)) + job)
            requests.write(payload)
        except RuntimeError:  # what uvloop says of a pipe that has closed
            raise BrokenPipeError from None
        await requests.drain()
        await answers.readexactly(len(BEGUN))
        return answers

    async def _cause(self) -> str:
        """What the process has ended by: the name of a signal where it was one."""
        if self._process is not None:
            with suppress(TimeoutError):  # to kill what is ending may cost the standard loop its exit status
                async with asyncio.timeout(_ENDING):
                    await self._process.wait()
        await self.end()
        status = self._process.returncode if self._process is not None else None
        return Signals(-status).name if status is not None and status < 0 else f"exit {status}"

    async def end(self) -> None:
        """Kill the process and wait until it is gone."""
        self._at_rest = False
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            self._process.kill()
        with suppress(TimeoutError):
            async with asyncio.timeout(_DYING):
                await self._process.wait()


async def _started() -> asyncio.subprocess.Process:
    """A fresh worker. It gets nothing of our environment: that holds secrets, and it reads what strangers wrote."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "shared.workers.worker", str(os.getpid())),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "LANG": "C.UTF-8"},
        limit=_BUFFER,
        start_new_session=True,  # Ctrl-C is for the service, which lets jobs end
    )


def _pipes(process: asyncio.subprocess.Process) -> tuple[StreamWriter, StreamReader]:
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout
