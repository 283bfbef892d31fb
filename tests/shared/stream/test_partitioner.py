"""Keys land on the partition where every other Kafka client would put them."""

from __future__ import annotations

from aiokafka.partitioner import murmur2 as reference
from hypothesis import given
from hypothesis import strategies as st

from shared.stream.partitioner import murmur2, partition_of


@given(st.binary(max_size=64))
def test_murmur2_is_kafkas(data: bytes) -> None:
    assert murmur2(data) == reference(data) & 0xFFFFFFFF


def test_partition_of_known_keys() -> None:
    # Computed with org.apache.kafka.common.utils.Utils.toPositive(murmur2(key)) % 12.
    assert [partition_of(key, 12) for key in (b"", b"a", b"21", b"foobar")] == [
        (reference(key) & 0x7FFFFFFF) % 12 for key in (b"", b"a", b"21", b"foobar")
    ]
