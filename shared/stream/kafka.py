"""The log on Apache Kafka (or a broker that speaks its protocol), over aiokafka."""

from __future__ import annotations

import ssl
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Security:
    """How to authenticate to the broker. The default is plain text without authentication."""

    protocol: str = "PLAINTEXT"
    """PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL."""
    mechanism: str = "PLAIN"
    """PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512."""
    username: str | None = None
    password: str | None = None
    tls: ssl.SSLContext | None = None


class KafkaLog:
    """See `Log`. Idempotent producing is for real brokers; the embedded one has no `InitProducerId`."""

    def __init__(
        self,
        bootstrap: str,
        *,
        client_id: str,
        idempotent: bool = True,
        security: Security = Security(),
        send_timeout: float = 5.0,
        rebalance_timeout: float = 30.0,
        session_timeout: float = 10.0,
        replication: int = -1,
        max_record_bytes: int = 1_048_576,
        compression: str | None = None,
    ) -> None: ...
