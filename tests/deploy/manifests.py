"""Writes the manifests that follow from the contract and the channels. `make docs` runs it, a test keeps them fresh."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from shared.contract.topics import LARGEST_MESSAGE, Topic, Topics
from shared.runtime.settings import KafkaSettings, Role

ROOT = Path(__file__).parents[2]
K8S = ROOT / "deploy" / "k8s"
CHANNELS = sorted(path.parent.name for path in (ROOT / "services").glob("*/pyproject.toml"))
TOPICS = Topics()
PARTITIONS = KafkaSettings.model_fields["partitions"].default
HEAD = "# Written by `make docs` (tests/deploy/manifests.py); do not edit it by hand.\n"
LAG = 500
"""Records that wait for one replica before another one is added."""
_CLUSTER = {"strimzi.io/cluster": "kafka"}
_ALL = ["Describe", "DescribeConfigs", "Read", "Write"]
# Secrets of a channel that are needed; what else it knows is optional, and added by whoever uses it.
_SHARED_SECRETS = ("SEALING_KEY", "API_TOKENS", "STATE_URL", "KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD")

Manifest = dict[str, Any]


def _of_all() -> list[Topic]:
    return [*TOPICS.shared(), *(topic for channel in CHANNELS for topic in TOPICS.of_channel(channel))]


def topics() -> list[Manifest]:
    """Strimzi's KafkaTopics."""
    return [
        {
            "apiVersion": "kafka.strimzi.io/v1",
            "kind": "KafkaTopic",
            "metadata": {"name": topic.name, "labels": _CLUSTER},
            "spec": {
                "partitions": PARTITIONS,
                "replicas": 3,
                "config": {
                    "cleanup.policy": "compact" if topic.retention is None else "delete",
                    **(
                        {}
                        if topic.retention is None
                        else {"retention.ms": round(topic.retention.total_seconds() * 1000)}
                    ),
                    "min.insync.replicas": 2,
                    "max.message.bytes": LARGEST_MESSAGE,
                },
            },
        }
        for topic in _of_all()
    ]


def _acl(kind: str, name: str, operations: Sequence[str], *, prefix: bool = False) -> Manifest:
    pattern = "prefix" if prefix else "literal"
    return {
        "resource": {"type": kind, "name": name, "patternType": pattern},
        "operations": list(operations),
        "host": "*",
    }


def _user(name: str, acls: list[Manifest]) -> Manifest:
    return {
        "apiVersion": "kafka.strimzi.io/v1",
        "kind": "KafkaUser",
        "metadata": {"name": name, "labels": _CLUSTER},
        "spec": {"authentication": {"type": "scram-sha-512"}, "authorization": {"type": "simple", "acls": acls}},
    }


def users() -> list[Manifest]:
    """Strimzi's KafkaUsers: one per channel with the rights of docs/operations.md, and the inbox core's."""
    connectors = [
        _user(
            f"{channel}-connector",
            [
                _acl("topic", f"{TOPICS.prefix}.{channel}.", _ALL, prefix=True),
                _acl("topic", TOPICS.account_health, _ALL),
                _acl("topic", TOPICS.capabilities, _ALL),
                _acl("topic", TOPICS.accounts, ["Describe", "Read"]),
                _acl("group", f"{TOPICS.prefix}.{channel}.", ["Read"], prefix=True),
                _acl("group", f"redrive.{TOPICS.deadletter(channel)}", ["Read"]),
            ],
        )
        for channel in CHANNELS
    ]
    written = [TOPICS.accounts, *(TOPICS.outbound(channel) for channel in CHANNELS)]
    read = [topic.name for topic in _of_all() if "inbox core" in topic.read_by]
    core = [_acl("topic", name, ["Describe", "Read", "Write"]) for name in written]
    core += [_acl("topic", name, ["Describe", "Read"]) for name in read]
    return [*connectors, _user("inbox-core", [*core, _acl("group", "inbox-core", ["Read"], prefix=True)])]


def scaled_objects() -> list[Manifest]:
    """KEDA's ScaledObjects of the consumers: a replica for so many records that wait."""
    reads = {Role.NORMALISE: TOPICS.raw, Role.DELIVER: TOPICS.outbound, Role.MEDIA: TOPICS.inbound}
    return [
        {
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "ScaledObject",
            "metadata": {"name": f"{channel}-{role}"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": f"{channel}-{role}"},
                "minReplicaCount": 2,
                "maxReplicaCount": PARTITIONS,
                "advanced": {
                    "horizontalPodAutoscalerConfig": {
                        "behavior": {
                            "scaleDown": {
                                "stabilizationWindowSeconds": 600,
                                "policies": [{"type": "Pods", "value": 1, "periodSeconds": 120}],
                            }
                        }
                    }
                },
                "triggers": [
                    {
                        "type": "kafka",
                        "metadata": {
                            "bootstrapServers": "kafka.kafka.svc:9093",
                            "consumerGroup": f"{TOPICS.prefix}.{channel}.{role}",
                            "topic": topic_of(channel),
                            "lagThreshold": str(LAG),
                            "offsetResetPolicy": "earliest",
                            "sasl": "scram_sha512",
                            "tls": "enable",
                        },
                        "authenticationRef": {"name": "channel-connectors-kafka"},
                    }
                ],
            },
        }
        for channel in CHANNELS
        for role, topic_of in reads.items()
    ]


def routes() -> list[Manifest]:
    """The Gateway API's routes: webhook paths, and nothing else."""
    return [
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {"name": f"{channel}-webhooks"},
            "spec": {
                "parentRefs": [{"name": "connectors", "namespace": "gateway"}],
                "hostnames": ["connectors.example.com"],
                "rules": [
                    {
                        "matches": [{"path": {"type": "PathPrefix", "value": f"/webhooks/{channel}"}}],
                        "backendRefs": [{"name": f"{channel}-ingress", "port": 80}],
                    }
                ],
            },
        }
        for channel in CHANNELS
    ]


def secrets() -> list[Manifest]:
    """ExternalSecrets: what all channels need by name, and whatever the store has of a channel's own."""

    def made(name: str, what: Manifest) -> Manifest:
        store = {"kind": "ClusterSecretStore", "name": "channel-connectors"}
        return {
            "apiVersion": "external-secrets.io/v1",
            "kind": "ExternalSecret",
            "metadata": {"name": name},
            "spec": {"refreshInterval": "5m", "secretStoreRef": store, "target": {"name": name}, **what},
        }

    shared = [
        {"secretKey": key, "remoteRef": {"key": "channel-connectors", "property": key}} for key in _SHARED_SECRETS
    ]
    own = [
        made(f"{channel}-connector", {"dataFrom": [{"extract": {"key": f"{channel}-connector"}}]})
        for channel in CHANNELS
    ]
    return [made("channel-connectors", {"data": shared}), *own]


FILES = {
    K8S / "kafka" / "topics.yaml": topics,
    K8S / "kafka" / "users.yaml": users,
    K8S / "components" / "keda" / "scaledobjects.yaml": scaled_objects,
    K8S / "components" / "gateway" / "routes.yaml": routes,
    K8S / "components" / "external-secrets" / "secrets.yaml": secrets,
}


class _Whole(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True


def text(manifests: list[Manifest]) -> str:
    return HEAD + yaml.dump_all(manifests, Dumper=_Whole, sort_keys=False, width=120)


if __name__ == "__main__":
    for path, made in FILES.items():
        path.write_text(text(made()), encoding="utf-8")
