"""A broker one of whose disks is full: what lies there is refused in time, the rest goes on, and nothing is lost."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.broker import Kafka, kafka_missing
from shared.stream.errors import LogUnavailable
from shared.stream.kafka import KafkaLog
from tests.integration.brokers import SESSION_SECONDS
from tests.shared.stream.support import topic

PATIENCE = 2.0
PARTITIONS = 4

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.skipif(kafka_missing() is not None, reason=f"real Kafka: {kafka_missing()}"),
]


class TwoDisks(Kafka):
    """Kafka that keeps every other partition on a disk of its own."""

    def __init__(self, small: Path) -> None:
        super().__init__()
        self._small = small

    def _settings(self, number: int, home: Path) -> dict[str, object]:
        large = home / "data"
        return {
            **super()._settings(number, home),
            "log.dirs": f"{large},{self._small / 'data'}",
            "metadata.log.dir": large,
            "log.segment.bytes": 2 * 1024 * 1024,
            "log.index.size.max.bytes": 4096,
        }


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", tmp_path], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("a disk that is full: only root can mount one")
    yield tmp_path
    subprocess.run(["umount", "--lazy", tmp_path], check=True)


async def test_a_full_disk_refuses_what_lies_there_and_nothing_is_lost(
    small_disk: Path, unique: Callable[[str], str]
) -> None:
    async with TwoDisks(small_disk) as broker:
        (node,) = broker.nodes
        log = KafkaLog(
            broker.bootstrap, client_id="test", send_timeout=PATIENCE, session_timeout=SESSION_SECONDS[Kafka]
        )
        await log.start()
        name = await topic(log, unique("full"), PARTITIONS)
        sent: dict[int, list[bytes]] = {partition: [] for partition in range(PARTITIONS)}

        async def refused(turn: int) -> set[int]:
            """Send a record to each partition; those that refused theirs."""
            value = b"%d" % turn + bytes(200_000)
            futures = [await log.enqueue(name, b"k", value, partition=partition) for partition in sent]
            answers = await asyncio.gather(*futures, return_exceptions=True)
            taken = {at for at, answer in enumerate(answers) if not isinstance(answer, BaseException)}
            assert {type(answers[at]) for at in sent if at not in taken} <= {LogUnavailable}
            for partition in taken:
                sent[partition].append(value)
            return set(sent) - taken

        assert await refused(0) == set()
        there = {int(path.name.rpartition("-")[2]) for path in (small_disk / "data").glob(f"{name}-*")}
        assert 0 < len(there) < PARTITIONS
        (small_disk / "filler").write_bytes(bytes(_free(small_disk)))
        assert [await refused(turn) for turn in (1, 2)] == [there, there]
        (small_disk / "filler").unlink()
        await node.kill()  # Kafka looks at a disk that has failed again only when it starts
        await node.start()
        async with asyncio.timeout(30):
            while await refused(3):
                pass
        for partition, values in sent.items():
            kept = [record.value async for record in log.read_partition(name, partition)]
            assert [value for value in kept if value in values] == values
        await log.stop()


def _free(disk: Path) -> int:
    return int(subprocess.run(["df", "--output=avail", "-B1", disk], capture_output=True, check=True).stdout.split()[1])
