"""Manifests of other projects' kinds, held against what those projects publish of them.

Strimzi's resource definitions are made by its own generator out of its API. The others come as the types and models
that `@kubernetes-models` makes of the projects' Go API. Fields that are not defined are refused, as by kubectl.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from sandbox.broker import kafka_missing, resolve_jars
from tests.deploy.test_kubernetes import K8S, ROOT, Manifest
from tests.node import borrow, compiled, needs_node

DEFINITIONS = ROOT / "tests" / "deploy" / "definitions"
PACKAGES = {
    "external-secrets.io": "external-secrets",
    "gateway.networking.k8s.io": "gateway-api",
    "keda.sh": "keda",
    "monitoring.coreos.com": "prometheus-operator",
}
STRIMZI = {"KafkaTopic": "io.strimzi.api.kafka.model.topic", "KafkaUser": "io.strimzi.api.kafka.model.user"}


def group(manifest: Manifest) -> str:
    return str(manifest["apiVersion"]).partition("/")[0]


def manifests() -> list[Manifest]:
    return [one for path in sorted(K8S.rglob("*.yaml")) for one in yaml.safe_load_all(path.read_text()) if one]


def broken(ours: Sequence[Manifest]) -> list[Manifest]:
    """One of each kind with a field that it does not have."""
    return [{**one, "spec": {**one["spec"], "unknown": True}} for one in {one["kind"]: one for one in ours}.values()]


def test_every_kind_is_held_against_something() -> None:
    # kubernetes-validate has those that are Kubernetes' own: see docs/operations.md.
    built_in = {"v1", "apps", "autoscaling", "networking.k8s.io", "policy", "rbac.authorization.k8s.io"}
    built_in.add("kustomize.config.k8s.io")
    assert {group(one) for one in manifests()} == built_in | set(PACKAGES) | {"kafka.strimzi.io"}


def module(manifest: Manifest) -> str:
    name, _, version = manifest["apiVersion"].partition("/")
    return f"@kubernetes-models/{PACKAGES[name]}/{name}/{version}/{manifest['kind']}"


@needs_node
def test_kinds_of_operators_are_as_their_projects_define_them(tmp_path: Path) -> None:
    ours = [one for one in manifests() if group(one) in PACKAGES]
    judged = [*ours, *broken(ours)]
    folder = borrow(DEFINITIONS, tmp_path / "definitions")
    lines = [
        f"export const m{number}: import({json.dumps(module(one))}).I{one['kind']} = {json.dumps(one)};"
        for number, one in enumerate(judged)
    ]
    (folder / "manifests.mts").write_text("\n".join(lines))
    complaints = compiled(folder)
    complained = {int(number) - 1 for number in re.findall(r"manifests\.mts[(:](\d+)", complaints)}
    assert complained == set(range(len(ours), len(judged))), complaints


@needs_node
def test_values_of_operators_kinds_are_allowed(tmp_path: Path) -> None:
    ours = [one for one in manifests() if group(one) in PACKAGES]
    wrong = [{**one, "spec": 1} for one in {one["kind"]: one for one in ours}.values()]
    folder = borrow(DEFINITIONS, tmp_path / "definitions")
    given = json.dumps([{"module": module(one), "manifest": one} for one in (*ours, *wrong)])
    done = subprocess.run(["node", "validate.mjs"], cwd=folder, input=given, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    refused = {int(line.partition(":")[0]) for line in done.stdout.splitlines()}
    assert refused == set(range(len(ours), len(ours) + len(wrong))), done.stdout


def strict(schema: Any) -> Any:
    """A schema that refuses fields it does not name; a definition's own drops them."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: strict(value) for name, value in schema.items()}
    if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        closed.setdefault("additionalProperties", False)
    return closed


@pytest.mark.skipif(kafka_missing() is not None, reason=f"Strimzi's definitions: {kafka_missing()}")
async def test_topics_and_users_are_as_strimzi_defines_them(tmp_path: Path) -> None:
    jars = await resolve_jars(DEFINITIONS / "pom.xml", ROOT / ".cache" / "strimzi")
    made = [f"{package}.{kind}={tmp_path / kind}.yaml" for kind, package in STRIMZI.items()]
    generator = ["java", "-cp", f"{jars}/*", "io.strimzi.crdgenerator.CrdGenerator", "--yaml", *made]
    subprocess.run(generator, check=True, capture_output=True, timeout=60)
    judges = {}
    for kind in STRIMZI:
        definition = yaml.safe_load((tmp_path / f"{kind}.yaml").read_text())
        for version in definition["spec"]["versions"]:
            schema = strict(version["schema"]["openAPIV3Schema"])
            # What every resource has, and a definition does not name.
            schema["properties"] |= {"apiVersion": {"type": "string"}, "kind": {}, "metadata": {"type": "object"}}
            judges[f"{definition['spec']['group']}/{version['name']}", kind] = Draft202012Validator(schema)
    ours = [one for one in manifests() if group(one) == "kafka.strimzi.io"]
    for one in ours:
        judges[one["apiVersion"], one["kind"]].validate(one)
    for one in broken(ours):
        assert not judges[one["apiVersion"], one["kind"]].is_valid(one)
