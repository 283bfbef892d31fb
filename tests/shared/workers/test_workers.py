"""Workers: a job that hangs, dies or eats memory costs itself, and nobody else anything."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from shared.workers import Busy, JobFailed, TooSlow, WorkerDied, Workers, pool
from shared.workers.worker import MOST_JOBS

JOBS = "tests.shared.workers.jobs"
MIB = 1024 * 1024
PLENTY = 256 * MIB

Job = Callable[..., Awaitable[bytes]]


@pytest.fixture
async def workers() -> AsyncIterator[Workers]:
    made = Workers(quick=2)
    yield made
    await made.close()


@pytest.fixture
def run(workers: Workers) -> Job:
    def job(name: str, payload: bytes = b"", *, deadline: float = 10.0, memory: int = PLENTY, **more: Any) -> Any:
        return workers.run(f"{JOBS}:{name}", payload, deadline=deadline, memory=memory, **more)

    return job


def alive(pid: int) -> bool:
    """Whether there is such a process, and not only its entry."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def gone(pid: int) -> None:
    async with asyncio.timeout(5):
        while alive(pid):
            await asyncio.sleep(0.01)


async def test_bytes_come_back_large_and_small(run: Job) -> None:
    for payload in (b"", b"x", os.urandom(5 * MIB)):
        assert await run("echo", payload) == payload


async def test_a_worker_is_kept_for_the_next_job(run: Job) -> None:
    assert await run("pid") == await run("pid")


async def test_jobs_run_beside_each_other_and_no_more_than_there_are_workers(run: Job) -> None:
    pids = await asyncio.gather(*(run("pid") for _ in range(20)))
    assert 1 <= len(set(pids)) <= 2


async def test_slow_jobs_do_not_hold_up_quick_ones(run: Job) -> None:
    video = asyncio.ensure_future(run("sleep", b"30", deadline=60, lane="slow"))
    assert await run("echo", b"voice") == b"voice"
    video.cancel()
    with pytest.raises(asyncio.CancelledError):
        await video


@pytest.mark.parametrize("job", ["hang_in_c", "spin"])
async def test_what_hangs_is_killed_at_its_deadline_and_alone(run: Job, job: str) -> None:
    beside = asyncio.ensure_future(run("sleep", b"0.6"))
    await run("echo")
    start = time.monotonic()
    with pytest.raises(TooSlow):
        await run(job, deadline=0.3)
    assert time.monotonic() - start < 2
    assert await beside == b"slept"
    assert await run("echo", b"next") == b"next"


async def test_cancelling_a_job_kills_its_worker(run: Job) -> None:
    pid = int(await run("pid"))
    job = asyncio.ensure_future(run("hang_in_c"))
    await asyncio.sleep(0.1)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    await gone(pid)


async def test_a_memory_bomb_ends_its_job_only(run: Job) -> None:
    beside = asyncio.ensure_future(run("sleep", b"0.5"))
    with pytest.raises(WorkerDied, match="memory"):
        await run("eat", b"%d" % (2 * 1024 * MIB))
    assert await beside == b"slept"
    assert await run("eat", b"%d" % (100 * MIB)) == b"%d" % (100 * MIB)


async def test_the_bound_of_memory_is_each_jobs_own(run: Job) -> None:
    with pytest.raises(WorkerDied, match="memory"):
        await run("eat", b"%d" % (50 * MIB), memory=20 * MIB)
    assert await run("eat", b"%d" % (50 * MIB), memory=100 * MIB)


@pytest.mark.parametrize("signal_", [signal.SIGABRT, signal.SIGSEGV, signal.SIGXCPU])
async def test_death_is_a_result(run: Job, signal_: signal.Signals) -> None:
    with pytest.raises(WorkerDied, match=signal_.name):
        await run("die", b"%d" % signal_)
    assert await run("echo", b"next") == b"next"


async def test_a_job_whose_worker_is_killed_from_outside_is_done_once_more(run: Job, tmp_path: Path) -> None:
    assert await run("die_once", str(tmp_path / "mark").encode()) == b"done"
    with pytest.raises(WorkerDied, match="SIGKILL"):
        await run("die", b"9")


async def test_a_worker_may_be_killed_at_any_moment(run: Job, workers: Workers) -> None:
    """While it starts, reads, works, answers or rests: its job is done all the same, or says by what it died."""

    async def kill_often() -> None:
        while True:
            await asyncio.sleep(0.07)
            for lane in workers._lanes.values():
                for worker in lane._all:
                    if worker._process is not None and worker._process.returncode is None:
                        worker._process.kill()

    killer = asyncio.create_task(kill_often())
    ended = []
    for _ in range(15):
        try:
            ended.append(await run("echo", b"x" * 200_000))
        except WorkerDied as died:
            assert died.why == "SIGKILL"
    killer.cancel()
    assert all(answer == b"x" * 200_000 for answer in ended)
    assert await run("echo", b"next") == b"next"


async def test_a_worker_that_dies_at_rest_is_replaced(run: Job) -> None:
    pid = int(await run("pid"))
    os.kill(pid, signal.SIGTERM)
    await gone(pid)
    assert await run("echo", b"next") == b"next"


async def test_processor_time_is_bounded_by_the_kernel_too(run: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where nobody watches the clock."""

    class Endless:
        def __init__(self, seconds: float) -> None: ...
        async def __aenter__(self) -> None: ...
        async def __aexit__(self, *error: object) -> None: ...

    await run("echo")
    monkeypatch.setattr(pool.asyncio, "timeout", Endless)
    with pytest.raises(WorkerDied, match="SIGXCPU"):
        await run("spin", deadline=0.1)


async def test_what_a_job_raises_is_told_by_its_type_and_never_by_its_words(run: Job) -> None:
    with pytest.raises(JobFailed) as failed:
        await run("raise_secret", b"Ida's number")
    assert str(failed.value) == failed.value.kind == "LookupError"
    assert await run("echo", b"next") == b"next"


async def test_what_libraries_print_does_not_disturb(run: Job) -> None:
    assert await run("print_much") == b"quiet"


async def test_a_worker_ends_after_its_share_of_jobs(run: Job) -> None:
    pids = [await run("pid") for _ in range(MOST_JOBS + 1)]
    assert len(set(pids)) == 2
    await gone(int(pids[0]))


async def test_a_worker_that_has_grown_is_replaced(run: Job) -> None:
    first = await run("pid")
    with pytest.raises(JobFailed):
        await run("raise_secret", b"x" * 60 * MIB)
    assert await run("pid") == first
    assert await run("keep", b"%d" % (220 * MIB), memory=500 * MIB) == b"kept"
    assert await run("pid") != first


async def test_no_more_wait_than_there_is_room_for(run: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "MOST_WAITING", 3)
    jobs = [asyncio.ensure_future(run("sleep", b"0.3")) for _ in range(5)]
    await asyncio.sleep(0)
    with pytest.raises(Busy):
        await run("echo")
    assert await asyncio.gather(*jobs) == [b"slept"] * 5


async def test_a_job_waits_for_a_worker_only_so_long(run: Job) -> None:
    jobs = [asyncio.ensure_future(run("sleep", b"1")) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Busy):
        await run("echo", patience=0.05)
    assert await asyncio.gather(*jobs) == [b"slept"] * 2


async def test_a_file_has_a_largest_size(run: Job, workers: Workers) -> None:
    async with workers.folder() as folder:
        assert await run("write_file", json.dumps([f"{folder}/a", MIB]).encode()) == b"written"
        with pytest.raises(JobFailed, match="OSError"):
            await run("write_file", json.dumps([f"{folder}/b", 65 * MIB]).encode())


async def test_folders_are_private_and_go_away(workers: Workers) -> None:
    async with workers.folder() as folder:
        (folder / "file").write_bytes(b"x")
        assert folder.stat().st_mode & 0o077 == folder.parent.stat().st_mode & 0o077 == 0
    assert not folder.exists()
    await workers.close()
    assert not folder.parent.exists()


async def test_a_worker_gets_nothing_of_the_environment(run: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEALING_KEY", "secret")
    given = json.loads(await run("environment"))
    assert set(given) <= {"PYTHONPATH", "LANG", "LC_CTYPE"}


async def test_a_worker_reaches_no_network_and_not_its_parent_where_the_system_lets_it(run: Job) -> None:
    if subprocess.run(["unshare", "--user", "--net", "true"], capture_output=True).returncode:
        pytest.skip("this system gives no user namespaces")
    async with await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        with pytest.raises(JobFailed):
            await run("connect", b"%d" % port)


async def test_closing_kills_what_runs_and_leaves_nothing(workers: Workers, run: Job) -> None:
    pid = int(await run("pid"))
    job = asyncio.ensure_future(run("hang_in_c"))
    await asyncio.sleep(0.2)
    await workers.close()
    with pytest.raises(Busy):
        await job
    await gone(pid)
    with pytest.raises(Busy):
        await run("echo")


_SERVICE = """
import asyncio, sys
from shared.workers import Workers
async def main():
    workers = Workers(quick=2)
    async with workers.folder() as folder:
        job = lambda name: workers.run("tests.shared.workers.jobs:" + name, b"", deadline=60, memory=10**9)
        pids = [await job("pid")]
        hanging = asyncio.ensure_future(job("hang_in_c"))
        await asyncio.sleep(0.3)
        print(pids[0].decode(), await job("pid") and (await job("pid")).decode(), folder, flush=True)
        await hanging
asyncio.run(main())
"""


def test_the_same_holds_on_the_standard_loop() -> None:
    async def jobs() -> None:
        workers = Workers()
        assert await workers.run(f"{JOBS}:echo", b"x", deadline=5, memory=PLENTY) == b"x"
        with pytest.raises(TooSlow):
            await workers.run(f"{JOBS}:hang_in_c", b"", deadline=0.1, memory=PLENTY)
        with pytest.raises(WorkerDied, match="SIGABRT"):
            await workers.run(f"{JOBS}:die", b"6", deadline=5, memory=PLENTY)
        pid = int(await workers.run(f"{JOBS}:pid", b"", deadline=5, memory=PLENTY))
        await workers.close()
        await gone(pid)

    asyncio.run(jobs())


async def test_a_worker_whose_parent_is_gone_ends_at_once() -> None:
    orphan = [sys.executable, "-m", "shared.workers.worker", str(os.getpid() + 1)]
    process = await asyncio.create_subprocess_exec(*orphan, stdin=asyncio.subprocess.PIPE)
    assert await asyncio.wait_for(process.wait(), 10) == 1


async def test_workers_die_with_a_service_that_is_killed_and_its_files_are_swept(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    service = subprocess.Popen([sys.executable, "-c", _SERVICE], stdout=subprocess.PIPE, text=True, env=environment)
    assert service.stdout is not None
    hanging, resting, folder = service.stdout.readline().split()
    assert alive(int(hanging)) and alive(int(resting))
    service.kill()
    service.wait()
    await gone(int(hanging))
    await gone(int(resting))
    assert Path(folder).exists()
    tempfile_ = pytest.MonkeyPatch()
    tempfile_.setattr(tempfile, "tempdir", str(tmp_path))
    try:
        workers = Workers()
        async with workers.folder() as mine:
            assert not Path(folder).exists()
            other = Workers()
            async with other.folder():
                assert mine.exists()  # its owner lives
            await other.close()
        await workers.close()
    finally:
        tempfile_.undo()
