"""The Kubernetes manifests: every reference resolves, names, ports and selectors agree, settings are ours."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.email.settings import Settings as EmailSettings
from shared.contract.topics import Topics
from shared.runtime.http.server import CHECK_SECONDS
from shared.runtime.process.service import longest_stop
from shared.runtime.settings import COMMON, HttpSettings, KafkaSettings, Role
from shared.runtime.tools.settings import variable_of
from tests.deploy import dashboard, manifests
from tests.settings import channels

ROOT = Path(__file__).parents[2]
K8S = ROOT / "deploy" / "k8s"
KUSTOMIZATIONS = sorted(K8S.rglob("kustomization.yaml"))
OVERLAYS = sorted(path.name for path in (K8S / "overlays").iterdir())
COMPONENTS = sorted(path.name for path in (K8S / "components").iterdir())
CHANNELS = sorted(path.parent.name for path in (ROOT / "services").glob("*/pyproject.toml"))
WORKLOADS = ("Deployment", "StatefulSet")
TOPICS = Topics()

Manifest = dict[str, Any]


def _documents(path: Path) -> list[Manifest]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def _referenced(kustomization: Path) -> Iterator[Path]:
    (content,) = _documents(kustomization)
    for name in (*content.get("resources", ()), *content.get("components", ())):
        target = (kustomization.parent / name).resolve()
        yield target / "kustomization.yaml" if target.is_dir() else target
    for patch in content.get("patches", ()):
        if "path" in patch:
            yield (kustomization.parent / patch["path"]).resolve()


# ----------------------------------------------------------------------------------------------- files as they are


@pytest.mark.parametrize("path", KUSTOMIZATIONS, ids=lambda path: str(path.parent.relative_to(K8S)))
def test_references_resolve(path: Path) -> None:
    for target in _referenced(path):
        assert target.is_file(), target


def test_no_file_is_left_over() -> None:
    used = {target for path in KUSTOMIZATIONS for target in _referenced(path)}
    used |= {K8S / "overlays" / name / "kustomization.yaml" for name in OVERLAYS}
    used |= {K8S / "components" / name / "kustomization.yaml" for name in COMPONENTS}
    used.add(K8S / "kafka" / "kustomization.yaml")
    assert set(K8S.rglob("*.yaml")) == used


def test_every_channel_can_be_deployed() -> None:
    assert [path.name for path in sorted((K8S / "channels").iterdir())] == CHANNELS


@pytest.mark.parametrize("path", sorted(K8S.rglob("*.yaml")), ids=lambda path: str(path.relative_to(K8S)))
def test_every_document_says_what_it_is(path: Path) -> None:
    for document in _documents(path):
        assert document["apiVersion"]
        assert document["kind"]
        assert document["kind"] in ("Kustomization", "Component") or document["metadata"]["name"]


# ---------------------------------------------------------------------------------------------- as they are applied


@pytest.fixture(scope="module", params=OVERLAYS)
def rendered(request: pytest.FixtureRequest) -> list[Manifest]:
    """What an overlay makes, as kustomize builds it."""
    return _built(K8S / "overlays" / request.param)


def _built(directory: Path) -> list[Manifest]:
    if shutil.which("kubectl") is None:
        pytest.skip("no kubectl")
    built = subprocess.run(["kubectl", "kustomize", str(directory)], capture_output=True, text=True, check=True)
    return list(yaml.safe_load_all(built.stdout))


def _of(manifests: list[Manifest], *kinds: str) -> list[Manifest]:
    found = [manifest for manifest in manifests if manifest["kind"] in kinds]
    assert found, kinds
    return found


def _name(manifest: Manifest) -> str:
    return str(manifest["metadata"]["name"])


def _container(workload: Manifest) -> Manifest:
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    return dict(container)


def _selected(manifests: list[Manifest], selector: dict[str, str]) -> list[Manifest]:
    """The workloads whose pods have these labels."""
    return [
        workload
        for workload in _of(manifests, *WORKLOADS)
        if selector.items() <= workload["spec"]["template"]["metadata"]["labels"].items()
    ]


def test_names_are_unique(rendered: list[Manifest]) -> None:
    names = [(manifest["kind"], _name(manifest)) for manifest in rendered]
    assert len(names) == len(set(names))


def test_every_channel_runs_every_role(rendered: list[Manifest]) -> None:
    for channel in CHANNELS:
        label = {"app.kubernetes.io/name": f"{channel}-connector"}
        roles = {
            role
            for workload in _selected(rendered, label)
            for variable in _container(workload)["env"]
            if variable["name"] == "ROLES"
            for role in variable["value"].split(",")
        }
        assert roles - {"pull"} == set(Role) - {Role.PULL}
        images = {
            _container(workload)["image"].rpartition("/")[2].partition(":")[0]
            for workload in _selected(rendered, label)
        }
        assert images == {f"{channel}-connector"}


def test_a_workload_owns_its_pods_alone(rendered: list[Manifest]) -> None:
    for workload in _of(rendered, *WORKLOADS):
        assert _selected(rendered, workload["spec"]["selector"]["matchLabels"]) == [workload]


def test_services_reach_pods_of_one_channel_by_a_port_they_have(rendered: list[Manifest]) -> None:
    for service in _of(rendered, "Service"):
        workloads = _selected(rendered, service["spec"]["selector"])
        assert workloads, _name(service)
        assert len({workload["metadata"]["labels"]["app.kubernetes.io/name"] for workload in workloads}) == 1
        for port in service["spec"]["ports"]:
            for workload in workloads:
                assert port["targetPort"] in {opened["name"] for opened in _container(workload)["ports"]}


def test_stateful_sets_have_their_headless_service(rendered: list[Manifest]) -> None:
    services = {_name(service): service["spec"] for service in _of(rendered, "Service")}
    for workload in _of(rendered, "StatefulSet"):
        assert services[workload["spec"]["serviceName"]]["clusterIP"] == "None"


def test_consumers_are_stable_members_of_their_group(rendered: list[Manifest]) -> None:
    for workload in _of(rendered, "StatefulSet"):
        (instance,) = [variable for variable in _container(workload)["env"] if variable["name"] == "INSTANCE"]
        assert instance["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"


def test_autoscalers_name_workloads_and_no_more_replicas_than_partitions(rendered: list[Manifest]) -> None:
    workloads = {(workload["kind"], _name(workload)) for workload in _of(rendered, *WORKLOADS)}
    for scaler in (manifest for manifest in rendered if manifest["kind"] == "HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        assert (target["kind"], target["name"]) in workloads
        assert scaler["spec"]["minReplicas"] <= scaler["spec"]["maxReplicas"] <= KafkaSettings().partitions


def test_everything_that_can_grow_does(rendered: list[Manifest]) -> None:
    scaled = [one["spec"]["scaleTargetRef"]["name"] for one in rendered if one["kind"] == "HorizontalPodAutoscaler"]
    fixed = {_name(one) for one in _of(rendered, *WORKLOADS)} - set(scaled)
    # Pulling is one replica's per account; a pod with all roles is the small profile.
    assert all(name.endswith("-pull") for name in fixed) or scaled == []


def test_every_workload_has_its_disruption_budget(rendered: list[Manifest]) -> None:
    covered = [
        _selected(rendered, budget["spec"]["selector"]["matchLabels"])
        for budget in _of(rendered, "PodDisruptionBudget")
    ]
    assert sorted(_name(one) for (one,) in covered) == sorted(_name(one) for one in _of(rendered, *WORKLOADS))
    for budget in _of(rendered, "PodDisruptionBudget"):
        assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_images_are_pulled_only_where_they_are_not_there(rendered: list[Manifest]) -> None:
    for workload in _of(rendered, *WORKLOADS):
        container = _container(workload)
        tag = container["image"].rpartition("/")[2].partition(":")[2]
        assert tag not in ("", "latest"), "Kubernetes would always pull it"
        assert container.get("imagePullPolicy", "IfNotPresent") == "IfNotPresent"


def test_network_policies_cover_every_pod(rendered: list[Manifest]) -> None:
    for policy in _of(rendered, "NetworkPolicy"):
        assert _selected(rendered, policy["spec"]["podSelector"]["matchLabels"]), _name(policy)
    closed = [
        policy
        for policy in _of(rendered, "NetworkPolicy")
        if set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"} and "ingress" not in policy["spec"]
    ]
    reached = {
        _name(one) for policy in closed for one in _selected(rendered, policy["spec"]["podSelector"]["matchLabels"])
    }
    assert reached == {_name(workload) for workload in _of(rendered, *WORKLOADS)}


def _egress(manifests: list[Manifest]) -> list[tuple[str, list[str], list[int]]]:
    """Address blocks that pods may reach: the block, the ports, and what is left out of it."""
    return [
        (peer["ipBlock"]["cidr"], peer["ipBlock"].get("except", []), [port["port"] for port in rule["ports"]])
        for policy in _of(manifests, "NetworkPolicy")
        for rule in policy["spec"].get("egress", ())
        for peer in rule["to"]
        if "ipBlock" in peer
    ]


def test_link_local_addresses_answer_for_names_only(rendered: list[Manifest]) -> None:
    for cidr, excepted, ports in _egress(rendered):
        network = ip_network(cidr)
        if network.version == 4:
            assert ports == [53, 53] or "169.254.0.0/16" in excepted
        else:
            assert {"fc00::/7", "fe80::/10"} <= set(excepted)


def _with(component: str, directory: Path, overlay: str = "prod") -> list[Manifest]:
    """An overlay with one more component."""
    whole = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "channel-connectors",
        "resources": [os.path.relpath(K8S / "overlays" / overlay, directory)],
        "components": [os.path.relpath(K8S / "components" / component, directory)],
    }
    (directory / "kustomization.yaml").write_text(yaml.safe_dump(whole))
    return _built(directory)


@pytest.mark.parametrize(
    ("component", "opened"),
    [
        ("gke-identity", {("169.254.169.254/32", 80), ("169.254.169.252/32", 988)}),
        ("eks-identity", {("169.254.170.23/32", 80), ("fd00:ec2::23/128", 80)}),
    ],
)
def test_a_clouds_identity_can_be_let_through_and_nothing_beside_it(
    component: str, opened: set[tuple[str, int]], tmp_path: Path
) -> None:
    before, after = _built(K8S / "overlays" / "prod"), _with(component, tmp_path)
    (policy,) = [one for one in _of(after, "NetworkPolicy") if one not in before]
    assert _selected(after, policy["spec"]["podSelector"]["matchLabels"]) == _of(after, *WORKLOADS)
    assert {(cidr, port) for cidr, _, ports in _egress([policy]) for port in ports} == opened


def test_only_webhooks_are_exposed(rendered: list[Manifest]) -> None:
    services = {_name(service): service["spec"] for service in _of(rendered, "Service")}
    exposed = [
        path
        for ingress in _of(rendered, "Ingress")
        for rule in ingress["spec"]["rules"]
        for path in rule["http"]["paths"]
    ]
    assert sorted(path["path"] for path in exposed) == [f"/webhooks/{channel}" for channel in CHANNELS]
    for path in exposed:
        backend = path["backend"]["service"]
        service = services[backend["name"]]
        assert backend["port"]["name"] in {port["name"] for port in service["ports"]}
        assert backend["name"].startswith(path["path"].rpartition("/")[2])


def test_nginx_lets_through_what_the_services_take(rendered: list[Manifest]) -> None:
    (configuration,) = _of(rendered, "ConfigMap")
    webhooks = int(configuration["data"].get("HTTP_MAX_BODY", HttpSettings().max_body))
    mail = int(configuration["data"].get("EMAIL_MAX_SIZE", EmailSettings().max_size))
    for ingress in _of(rendered, "Ingress"):
        largest = mail if _name(ingress) == "email-webhooks" else webhooks
        assert ingress["spec"]["ingressClassName"] == "nginx"
        allowed = ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-body-size"]
        assert allowed == f"{largest // 2**20}m"


def test_preflight_is_reached_by_labelled_clients_only(rendered: list[Manifest]) -> None:
    client = "channel-connectors/client"
    for channel in CHANNELS:
        (deliver,) = [one for one in _of(rendered, "StatefulSet") if _name(one) == f"{channel}-deliver"]
        (service,) = [one for one in _of(rendered, "Service") if _name(one) == f"{channel}-deliver"]
        assert _selected(rendered, service["spec"]["selector"]) == [deliver]
        (policy,) = [one for one in _of(rendered, "NetworkPolicy") if _name(one) == f"{channel}-preflight"]
        assert _selected(rendered, policy["spec"]["podSelector"]["matchLabels"]) == [deliver]
        (rule,) = policy["spec"]["ingress"]
        (peer,) = rule["from"]
        assert peer["namespaceSelector"] == {"matchLabels": {client: "true"}}
        assert peer["podSelector"] == {"matchExpressions": [{"key": client, "operator": "In", "values": ["true"]}]}
        assert rule["ports"] == [{"port": "http"}]


def test_brokers_with_tls_are_proved_by_a_mounted_ca(rendered: list[Manifest]) -> None:
    (configuration,) = _of(rendered, "ConfigMap")
    encrypted = "SSL" in configuration["data"].get("KAFKA_SECURITY_PROTOCOL", "PLAINTEXT")
    assert encrypted == ("KAFKA_SSL_CAFILE" in configuration["data"])
    for workload in _of(rendered, *WORKLOADS) if encrypted else ():
        folder, _, name = configuration["data"]["KAFKA_SSL_CAFILE"].rpartition("/")
        (mount,) = [mount for mount in _container(workload)["volumeMounts"] if mount["mountPath"] == folder]
        (volume,) = [one for one in workload["spec"]["template"]["spec"]["volumes"] if one["name"] == mount["name"]]
        assert name in {item["path"] for item in volume["secret"]["items"]}


def test_configuration_is_known_to_the_services(rendered: list[Manifest]) -> None:
    groups = (*COMMON, *(group for _, group in channels()))
    known = {variable_of(group, field) for group in groups for field in group.model_fields}
    (configuration,) = _of(rendered, "ConfigMap")
    variables = {variable["name"] for workload in _of(rendered, *WORKLOADS) for variable in _container(workload)["env"]}
    assert set(configuration["data"]) | variables <= known
    for workload in _of(rendered, *WORKLOADS):
        assert {"configMapRef": {"name": _name(configuration)}} in _container(workload)["envFrom"]


def test_pods_are_locked_down(rendered: list[Manifest]) -> None:
    for workload in _of(rendered, *WORKLOADS):
        pod, container = workload["spec"]["template"]["spec"], _container(workload)
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["requests"].keys() == {"cpu", "memory", "ephemeral-storage"}
        assert "memory" in container["resources"]["limits"]
        mounted = {mount["name"] for mount in container.get("volumeMounts", ())}
        assert mounted == {volume["name"] for volume in pod.get("volumes", ())}


def test_pods_are_probed_and_given_time_to_stop(rendered: list[Manifest]) -> None:
    (configuration,) = _of(rendered, "ConfigMap")
    drain_delay = float(configuration["data"]["HTTP_DRAIN_DELAY"])
    to_stop = longest_stop(HttpSettings(drain_delay=drain_delay), KafkaSettings())
    for workload in _of(rendered, *WORKLOADS):
        pod, container = workload["spec"]["template"]["spec"], _container(workload)
        ports = {port["name"] for port in container["ports"]}
        for probe, path in (("startup", "/livez"), ("liveness", "/livez"), ("readiness", "/readyz")):
            assert container[f"{probe}Probe"]["httpGet"] == {"path": path, "port": "http"}
        assert "http" in ports
        readiness = container["readinessProbe"]
        assert readiness["timeoutSeconds"] >= 2 * CHECK_SECONDS
        assert readiness["failureThreshold"] >= 3
        unready_after = readiness["periodSeconds"] * readiness["failureThreshold"]
        assert unready_after < drain_delay
        assert to_stop < pod["terminationGracePeriodSeconds"]


def test_every_service_is_scraped_once(rendered: list[Manifest]) -> None:
    monitors = [manifest for manifest in rendered if manifest["kind"] == "ServiceMonitor"]
    for monitor in monitors:
        labels = monitor["spec"]["selector"]["matchLabels"]
        services = [one for one in _of(rendered, "Service") if labels.items() <= one["metadata"]["labels"].items()]
        scraped = [_name(one) for service in services for one in _selected(rendered, service["spec"]["selector"])]
        assert sorted(scraped) == sorted(_name(one) for one in _of(rendered, *WORKLOADS))
        ports = {port["name"] for service in services for port in service["spec"]["ports"]}
        assert {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]} <= ports


def test_replicas_are_spread_over_zones_and_nodes(rendered: list[Manifest]) -> None:
    for workload in _of(rendered, *WORKLOADS):
        spread = workload["spec"]["template"]["spec"]["topologySpreadConstraints"]
        keys = [constraint["topologyKey"] for constraint in spread]
        assert keys == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]


def test_the_namespace_holds_pods_to_the_strictest_standard(rendered: list[Manifest]) -> None:
    (namespace,) = _of(rendered, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    others = [manifest for manifest in rendered if manifest["kind"] != "Namespace"]
    assert {manifest["metadata"]["namespace"] for manifest in others} == {_name(namespace)}
    for workload in _of(rendered, *WORKLOADS):  # what `restricted` asks beside `test_pods_are_locked_down`
        assert workload["spec"]["template"]["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}


# --------------------------------------------------------------------------------------------- made of the contract


@pytest.mark.parametrize("path", manifests.FILES, ids=lambda path: str(path.relative_to(K8S)))
def test_what_follows_from_the_contract_is_fresh(path: Path) -> None:
    assert path.read_text() == manifests.text(manifests.FILES[path]()), "make docs writes it anew"


def test_kafkas_topics_are_those_of_the_contract() -> None:
    made = {_name(one): one["spec"] for one in _built(K8S / "kafka") if one["kind"] == "KafkaTopic"}
    declared = [*TOPICS.shared(), *(topic for channel in CHANNELS for topic in TOPICS.of_channel(channel))]
    assert made.keys() == {topic.name for topic in declared}
    assert {spec["partitions"] for spec in made.values()} == {KafkaSettings().partitions}
    assert made["channels.telegram.raw"] == {
        "partitions": 12,
        "replicas": 3,
        "config": {
            "cleanup.policy": "delete",
            "retention.ms": 604_800_000,
            "min.insync.replicas": 2,
            "max.message.bytes": 1_114_112,
        },
    }
    assert made["channels.accounts"]["config"]["cleanup.policy"] == "compact"
    assert "retention.ms" not in made["channels.accounts"]["config"]


def test_a_channels_user_may_do_what_its_service_does_and_no_more() -> None:
    made = {_name(one): one["spec"] for one in _built(K8S / "kafka") if one["kind"] == "KafkaUser"}
    assert made.keys() == {*(f"{channel}-connector" for channel in CHANNELS), "inbox-core"}
    rights = {
        (acl["resource"]["type"], acl["resource"]["name"], acl["resource"]["patternType"]): set(acl["operations"])
        for acl in made["telegram-connector"]["authorization"]["acls"]
    }
    everything = {"Describe", "DescribeConfigs", "Read", "Write"}
    assert rights == {
        ("topic", "channels.telegram.", "prefix"): everything,
        ("topic", "channels.account-health", "literal"): everything,
        ("topic", "channels.capabilities", "literal"): everything,
        ("topic", "channels.accounts", "literal"): {"Describe", "Read"},
        ("group", "channels.telegram.", "prefix"): {"Read"},
        ("group", "redrive.channels.telegram.deadletter", "literal"): {"Read"},
    }
    core = [acl for acl in made["inbox-core"]["authorization"]["acls"] if "Write" in acl["operations"]]
    written = {acl["resource"]["name"] for acl in core}
    assert written == {"channels.accounts", *(TOPICS.outbound(channel) for channel in CHANNELS)}


# ------------------------------------------------------------------------------------------------------- components


def test_keda_scales_what_consumes_by_what_waits_for_it(tmp_path: Path) -> None:
    after = _with("keda", tmp_path)
    scaled = {one["spec"]["scaleTargetRef"]["name"]: one["spec"] for one in _of(after, "ScaledObject")}
    consumers = {_name(one) for one in _of(after, "StatefulSet") if not _name(one).endswith("-pull")}
    assert scaled.keys() == consumers
    by_cpu = {one["spec"]["scaleTargetRef"]["name"] for one in _of(after, "HorizontalPodAutoscaler")}
    assert by_cpu == {f"{channel}-ingress" for channel in CHANNELS}
    (authentication,) = _of(after, "TriggerAuthentication")
    for name, spec in scaled.items():
        (trigger,) = spec["triggers"]
        channel, _, role = name.partition("-")
        assert trigger["metadata"]["consumerGroup"] == f"channels.{channel}.{role}"
        assert trigger["metadata"]["topic"] in {topic.name for topic in TOPICS.of_channel(channel)}
        assert trigger["authenticationRef"]["name"] == _name(authentication)
        assert spec["minReplicaCount"] <= spec["maxReplicaCount"] <= KafkaSettings().partitions


def test_a_gateway_takes_the_place_of_ingress(tmp_path: Path) -> None:
    after = _with("gateway", tmp_path)
    assert [one for one in after if one["kind"] == "Ingress"] == []
    services = {_name(one): one["spec"] for one in _of(after, "Service")}
    found = {}
    for route in _of(after, "HTTPRoute"):
        (rule,) = route["spec"]["rules"]
        (match,), (backend,) = rule["matches"], rule["backendRefs"]
        found[match["path"]["value"]] = backend["name"]
        assert backend["port"] in {port["port"] for port in services[backend["name"]]["ports"]}
    assert found == {f"/webhooks/{channel}": f"{channel}-ingress" for channel in CHANNELS}
    for policy in _of(after, "NetworkPolicy"):
        if _name(policy).endswith("-webhooks"):
            ((peer,),) = [rule["from"] for rule in policy["spec"]["ingress"]]
            assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "gateway"}


def test_external_secrets_make_the_secrets_that_pods_read(tmp_path: Path) -> None:
    after = _with("external-secrets", tmp_path)
    made = {one["spec"]["target"]["name"]: one["spec"] for one in _of(after, "ExternalSecret")}
    for workload in _of(after, *WORKLOADS):
        read = {one["secretRef"]["name"] for one in _container(workload)["envFrom"] if "secretRef" in one}
        assert read <= made.keys()
        assert workload["metadata"]["annotations"]["reloader.stakater.com/auto"] == "true"
    given = {data["secretKey"] for data in made["channel-connectors"]["data"]}
    assert given == {"SEALING_KEY", "API_TOKENS", "STATE_URL", "KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD"}


def test_managed_services_are_let_through_by_address_and_port(tmp_path: Path) -> None:
    before, after = _built(K8S / "overlays" / "prod"), _with("managed-services", tmp_path)
    new = [one for one in _of(after, "NetworkPolicy") if one not in before]
    assert {_name(one) for one in new} == {"managed-kafka", "managed-valkey", "managed-blobs"}
    for policy in new:
        assert policy["spec"]["policyTypes"] == ["Egress"]
        assert _selected(after, policy["spec"]["podSelector"]["matchLabels"]) == _of(after, *WORKLOADS)
    for cidr, _, _ in _egress(new):
        assert ip_network(cidr).is_private
        assert ip_network(cidr).prefixlen >= 16


def test_tokens_of_pods_are_reviewed_where_v1_is_answered(tmp_path: Path) -> None:
    after = _with("token-review", tmp_path)
    for workload in _of(after, "StatefulSet"):
        given = {one["name"]: one.get("value") for one in _container(workload)["env"]}
        (mount,) = [one for one in _container(workload)["volumeMounts"] if one["name"] == "kubernetes-api"]
        assert given["API_REVIEW_DIRECTORY"] == mount["mountPath"]
        (volume,) = [one for one in workload["spec"]["template"]["spec"]["volumes"] if one["name"] == "kubernetes-api"]
        own, authority = volume["projected"]["sources"]
        assert own["serviceAccountToken"]["path"] == "token"
        assert [item["path"] for item in authority["configMap"]["items"]] == ["ca.crt"]
        assert given["API_REVIEW_AUDIENCE"]
        assert given["API_REVIEW_ACCOUNTS"]
    (role,) = _of(after, "ClusterRole")
    assert role["rules"] == [
        {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]}
    ]
    (binding,) = _of(after, "ClusterRoleBinding")
    (subject,) = binding["subjects"]
    assert subject["name"] == "system:serviceaccounts:channel-connectors"


def test_the_dashboard_comes_where_grafana_looks_for_it(tmp_path: Path) -> None:
    (found,) = [one for one in _with("dashboard", tmp_path) if _name(one) == "channel-connectors-dashboard"]
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert found["data"]["channel-connectors.json"] == dashboard.document()


def test_the_small_profile_is_one_pod_for_each_channel() -> None:
    small = _built(K8S / "overlays" / "small")
    workloads = _of(small, *WORKLOADS)
    assert [_name(one) for one in workloads] == [f"{channel}-deliver" for channel in CHANNELS]
    for workload in workloads:
        assert workload["spec"]["replicas"] == 1
        (roles,) = [variable["value"] for variable in _container(workload)["env"] if variable["name"] == "ROLES"]
        assert set(roles.split(",")) == set(Role)
