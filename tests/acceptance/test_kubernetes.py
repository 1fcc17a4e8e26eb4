"""What is sent to a Kubernetes cluster: valid by its schemas, and by the rules that whoever runs one lives by."""

from __future__ import annotations

import json
import re
from itertools import product
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import kubernetes_validate
import pytest
import yaml

from metriq_gym.bus.port import DISPATCHER, EXPORTER, LANES, POLLER, SCORER
from metriq_gym.providers.tyxonq.plugin import TyxonQSettings
from metriq_gym.service.service import LAST_SECONDS
from metriq_gym.settings import PREFIX, Settings
from metriq_gym.store import Store
from tests.support.custom_resources import DEFINITIONS
from tests.support.manifests import (
    COMPONENTS,
    FOLDER,
    OVERLAYS,
    SERVICES,
    Manifest,
    containers,
    labels,
    of,
    overlay,
    pods,
    selects,
    with_component,
)
from tests.support.variables import described

API_VERSIONS = ("1.30", "1.37")

SECRET = (
    "amqp_url",
    "mongo_url",
    "ibm_token",
    "tyxonq_token",
    "github_token",
    "webhook_secret",
    "notify_urls",
    "console_viewer_token",
    "console_submitter_token",
    "console_operator_token",
)
OF_THE_IMAGE = ("http_host", "http_port", "export_dir", "data_dir", "console_host", "console_port")
OF_NO_SERVICE = ("mongod_stay_seconds",)
BY_SERVICE = ("workers",)


@pytest.fixture
def overlays() -> dict[str, list[Manifest]]:
    return {name: overlay(name) for name in (*OVERLAYS, "mine")}


@pytest.fixture
def components() -> dict[str, list[Manifest]]:
    """Each component with the base."""
    return {name: with_component(name) for name in COMPONENTS}


@pytest.fixture
def everything(overlays: dict[str, list[Manifest]], components: dict[str, list[Manifest]]) -> list[Manifest]:
    return [each for manifests in (*overlays.values(), *components.values()) for each in manifests]


@pytest.mark.parametrize(("name", "version"), list(product((*OVERLAYS, "mine"), API_VERSIONS)))
def test_an_overlay_is_valid_by_the_schemas_of_an_api_version(name: str, version: str) -> None:
    for manifest in overlay(name):
        if manifest["kind"] not in DEFINITIONS:
            kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_component_is_valid_by_the_schemas(component: str) -> None:
    for manifest in with_component(component):
        if manifest["kind"] not in DEFINITIONS:
            kubernetes_validate.validate(manifest, API_VERSIONS[-1], strict=True)


def test_custom_resources_have_what_their_definitions_require_and_nothing_else(everything: list[Manifest]) -> None:
    seen = set()
    for manifest in everything:
        if manifest["kind"] in DEFINITIONS:
            jsonschema.validate(manifest, DEFINITIONS[manifest["kind"]])
            seen.add(manifest["kind"])
    assert seen == set(DEFINITIONS)


def test_names_are_such_as_an_api_server_takes_and_no_two_the_same(everything: list[Manifest]) -> None:
    part = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
    assert all(re.fullmatch(rf"{part}(\.{part})*", each["metadata"]["name"]) for each in everything)
    for manifests in map(overlay, OVERLAYS):
        names = [(each["kind"], each["metadata"]["name"]) for each in manifests]
        assert len(names) == len(set(names))


def test_selectors_match_their_pods_and_nobody_elses(overlays: dict[str, list[Manifest]]) -> None:
    for manifests in overlays.values():
        labelled = labels(manifests)
        deployments = of("Deployment", manifests)
        assert set(deployments) == set(SERVICES)
        for name, deployment in deployments.items():
            spread = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
            for selector in (deployment["spec"]["selector"], *(each["labelSelector"] for each in spread)):
                assert [other for other in labelled if selects(selector, labelled[other])] == [name]
        budgets = of("PodDisruptionBudget", manifests)
        for name, budget in budgets.items():
            assert [other for other in labelled if selects(budget["spec"]["selector"], labelled[other])] == [name]
        assert set(budgets) == set(labelled)


def test_every_container_is_restricted_and_bounded(everything: list[Manifest]) -> None:
    for pod in pods(everything):
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        assert pod["spec"]["securityContext"]["runAsUser"] > 0
        assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod["spec"])
        assert not any("hostPath" in volume for volume in pod["spec"].get("volumes", []))
    for container in containers(everything):
        assert set(container["resources"]) == {"requests", "limits"}
        for bounds in container["resources"].values():
            assert set(bounds) == {"cpu", "memory"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_service_accounts_have_no_token(everything: list[Manifest]) -> None:
    accounts = of("ServiceAccount", everything)
    ours = {*SERVICES, "prepare-servers"}
    assert set(accounts) == {*ours, "mongodb-kubernetes-appdb"}
    assert all(accounts[name]["automountServiceAccountToken"] is False for name in ours)
    assert {pod["spec"]["serviceAccountName"] for pod in pods(everything)} == ours


def test_namespaces_enforce_restricted_pods(overlays: dict[str, list[Manifest]]) -> None:
    for manifests in overlays.values():
        (namespace,) = of("Namespace", manifests).values()
        assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
        others = (each for each in manifests if each["kind"] != "Namespace")
        assert {each["metadata"]["namespace"] for each in others} == {namespace["metadata"]["name"]}


def test_images_have_a_version_in_an_overlay(overlays: dict[str, list[Manifest]]) -> None:
    for manifests in overlays.values():
        images = [container["image"] for container in containers(manifests)]
        images += [each["spec"]["image"] for each in of("RabbitmqCluster", manifests).values()]
        images += [f"mongodb:{each['spec']['version']}" for each in of("MongoDBCommunity", manifests).values()]
        assert all(re.fullmatch(r"[a-z./-]+:[\w.-]+", image) for image in images)
        assert not any(image.endswith(":latest") for image in images)


def secret_variable(variable: str, secret: str, key: str) -> Manifest:
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


def test_secrets_come_by_reference_and_only_to_whom_they_are_for(everything: list[Manifest]) -> None:
    assert not of("Secret", everything)
    for manifest in everything:
        if manifest["kind"] == "ConfigMap":
            assert not {f"{PREFIX}{name.upper()}" for name in SECRET} & set(manifest["data"])
    for service in of("Deployment", everything).values():
        (container,) = service["spec"]["template"]["spec"]["containers"]
        name = container["name"]
        referred = {each["secretRef"]["name"] for each in container["envFrom"] if "secretRef" in each}
        assert referred <= {f"metriq-{name}"}
        for variable in container["env"]:
            assert variable in (
                {"name": "METRIQ_WORKERS", "value": variable.get("value")},
                secret_variable("RABBITMQ_PASSWORD", f"rabbitmq-{name}", "password"),
                secret_variable("METRIQ_MONGO_URL", f"mongodb-{name}-url", "connectionString.standard"),
                {
                    "name": "METRIQ_AMQP_URL",
                    "value": f"amqps://{name}:$(RABBITMQ_PASSWORD)@rabbitmq/?cafile=/etc/rabbitmq/ca.crt",
                },
            )


def test_probes_ask_the_pages_that_services_serve(overlays: dict[str, list[Manifest]]) -> None:
    for manifests in overlays.values():
        for deployment in of("Deployment", manifests).values():
            (container,) = deployment["spec"]["template"]["spec"]["containers"]
            asked = {probe: container[f"{probe}Probe"]["httpGet"] for probe in ("startup", "liveness", "readiness")}
            assert {probe: each["path"] for probe, each in asked.items()} == {
                "startup": "/livez",
                "liveness": "/livez",
                "readiness": "/readyz",
            }
            ports = {port["name"]: port["containerPort"] for port in container["ports"]}
            dockerfile = (FOLDER.parent / "docker" / "Dockerfile").read_text()
            assert all(f"METRIQ_HTTP_PORT={ports[each['port']]}" in dockerfile for each in asked.values())


def test_a_pod_is_given_longer_than_work_in_hand_takes_to_end(overlays: dict[str, list[Manifest]]) -> None:
    for manifests in overlays.values():
        (settings,) = [each["data"] for each in manifests if each["metadata"]["name"].startswith("metriq-settings-")]
        for pod in (each["spec"]["template"]["spec"] for each in of("Deployment", manifests).values()):
            assert pod["terminationGracePeriodSeconds"] > float(settings["METRIQ_GRACE_SECONDS"]) + LAST_SECONDS


def test_every_setting_has_its_place(overlays: dict[str, list[Manifest]]) -> None:
    """A line of one of the files, set or commented out, with the setting's own description above it."""
    listed: dict[str, str] = {}
    for path in sorted((FOLDER / "base").glob("*.env")):
        for about, line in re.findall(r"^# (.*)\n#?(METRIQ_\w+)=", path.read_text(encoding="utf-8"), re.MULTILINE):
            assert line not in listed
            listed[line] = about
    placed = described()
    for name in (*SECRET, *OF_THE_IMAGE, *OF_NO_SERVICE, *BY_SERVICE):
        del placed[f"{PREFIX}{name.upper()}"]
    assert listed == placed


def test_what_is_set_are_valid_settings_with_the_defaults_but_for_the_grace_period(
    overlays: dict[str, list[Manifest]], monkeypatch: pytest.MonkeyPatch
) -> None:
    defaults = Settings().model_dump()
    for manifest in overlays["production"]:
        if manifest["kind"] == "ConfigMap":
            for name, value in manifest["data"].items():
                monkeypatch.setenv(name, value)
    differing = {name for name, value in Settings().model_dump().items() if value != defaults[name]}
    assert differing == {"grace_seconds", "console_allowed_hosts"}


def reached(manifests: list[Manifest], service: str) -> set[tuple[str, int]]:
    """Return the networks and ports that policies let a service reach, names aside."""
    found = set()
    pod = labels(manifests)[service]
    for policy in of("NetworkPolicy", manifests).values():
        if selects(policy["spec"]["podSelector"], pod):
            for rule in policy["spec"].get("egress", []):
                for to, port in product(rule["to"], rule["ports"]):
                    if "ipBlock" in to:
                        found.add((to["ipBlock"]["cidr"], port["port"]))
    return found


def test_only_who_has_to_reaches_the_internet() -> None:
    for manifests in map(overlay, OVERLAYS):
        policies = of("NetworkPolicy", manifests)
        closed = policies["nothing"]["spec"]
        assert closed["policyTypes"] == ["Ingress", "Egress"]
        assert not {"ingress", "egress"} & set(closed)
        labelled = labels(manifests)
        assert all(selects(closed["podSelector"], each) for each in labelled.values())
        private = set(product(("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"), (5671, 5672, 27017)))
        if of("RabbitmqCluster", manifests):  # in the same namespace, where pods are named by their labels
            private = set()
        outside = {("0.0.0.0/0", 443)}
        assert {name: reached(manifests, name) for name in SERVICES} == {
            "dispatcher": private | outside,
            "poller": private | outside,
            "scorer": private,
            "exporter": private | outside,
            "console": private,
        }
        for name, who in (("tyxonq", ["dispatcher", "poller"]), ("github", ["exporter"])):
            assert [each for each in SERVICES if selects(policies[name]["spec"]["podSelector"], labelled[each])] == who


def test_services_are_reached_from_labelled_namespaces_only_for_metrics_and_the_consoles_page() -> None:
    for manifests in map(overlay, OVERLAYS):
        let_in: dict[str, set[tuple[str, str]]] = {}
        labelled = labels(manifests)
        for name in SERVICES:
            rules = [
                rule
                for policy in of("NetworkPolicy", manifests).values()
                if selects(policy["spec"]["podSelector"], labelled[name])
                for rule in policy["spec"].get("ingress", [])
            ]
            let_in[name] = {
                (next(iter(peer["namespaceSelector"]["matchLabels"])), port["port"])
                for rule in rules
                for peer, port in product(rule["from"], rule["ports"])
            }
        metrics = ("metriq-gym/metrics", "http")
        assert let_in.pop("console") == {metrics, ("metriq-gym/ingress", "page")}
        assert set(map(frozenset, let_in.values())) == {frozenset({metrics})}


def test_traces_leave_only_with_the_component_for_a_labelled_namespace(
    components: dict[str, list[Manifest]],
) -> None:
    for name, manifests in components.items():
        settings = [each["data"] for each in manifests if each["metadata"]["name"].startswith("metriq-settings")]
        assert ["METRIQ_OTLP_ENDPOINT" in each for each in settings] == [name == "tracing"]
    policy = of("NetworkPolicy", components["tracing"])["traces"]["spec"]
    assert all(selects(policy["podSelector"], each) for each in labels(components["tracing"]).values())
    ((to, port),) = [(rule["to"], rule["ports"]) for rule in policy["egress"]]
    assert to == [{"namespaceSelector": {"matchLabels": {"metriq-gym/traces": "true"}}}]
    (settings,) = [
        each["data"] for each in components["tracing"] if each["metadata"]["name"].startswith("metriq-settings")
    ]
    assert port == [{"protocol": "TCP", "port": urlsplit(settings["METRIQ_OTLP_ENDPOINT"]).port}]


def test_with_cilium_the_hosts_are_named_and_nothing_else_is_open(components: dict[str, list[Manifest]]) -> None:
    manifests = components["cilium"]
    assert not {"tyxonq", "github"} & set(of("NetworkPolicy", manifests))
    assert all(network != "0.0.0.0/0" for name in SERVICES for network, _ in reached(manifests, name))
    policies = of("CiliumNetworkPolicy", manifests)
    hosts = {
        name: [each["matchName"] for rule in policy["spec"]["egress"] for each in rule.get("toFQDNs", [])]
        for name, policy in policies.items()
    }
    settings = Settings()
    assert hosts["tyxonq"] == [re.sub(r"https://([^/]+)/.*", r"\1", TyxonQSettings().base_url)]
    assert hosts["github"] == [settings.github_api_url.removeprefix("https://")]


def test_services_scale_by_the_queues_they_consume(components: dict[str, list[Manifest]]) -> None:
    scaled = of("ScaledObject", components["keda"])
    assert set(scaled) == set(SERVICES) - {"console"}
    queues = {DISPATCHER.name, SCORER.name, EXPORTER.name, POLLER.name}
    by_queue = {
        name: each["spec"]["triggers"][0]["metadata"]["queueName"] for name, each in scaled.items() if name != "poller"
    }
    assert by_queue == {name: f"metriq.{name}" for name in by_queue}
    assert set(by_queue.values()) == queues - {POLLER.name}
    lanes = [each["metadata"]["queueName"] for each in scaled["dispatcher"]["spec"]["triggers"][1:]]
    assert lanes == [lane.name for lane in LANES]
    for name, each in scaled.items():
        assert each["spec"]["scaleTargetRef"]["name"] == name
        assert "replicas" not in of("Deployment", components["keda"])[name]["spec"]


async def test_pollers_scale_by_the_tasks_that_are_due(
    components: dict[str, list[Manifest]], mongo_url: str, mongo_database: str
) -> None:
    from bson.json_util import JSONOptions, loads
    from pymongo import MongoClient

    (trigger,) = of("ScaledObject", components["keda"])["poller"]["spec"]["triggers"]
    query = loads(trigger["metadata"]["query"], json_options=JSONOptions(tz_aware=True))
    for page in (FOLDER / "README.md", *(FOLDER.parents[1] / "docs" / "decisions").glob("0013-*.md")):
        assert trigger["metadata"]["query"] in page.read_text(encoding="utf-8")
    assert trigger["metadata"]["collection"] == "tasks"
    assert trigger["metadata"]["dbName"] == Settings().mongo_database
    with MongoClient[dict[str, Any]](mongo_url) as client:
        tasks = client[mongo_database].tasks
        at = {"past": "2020-01-01T00:00:00Z", "later": "2120-01-01T00:00:00Z"}
        documents = [
            {"_id": f"{when}:{n}", "provider": "local", "next_poll_at": {"$date": at[when]}}
            for when, n in product(at, range(3))
        ]
        tasks.insert_many(loads(json.dumps([*documents, {"_id": "ended", "provider": "local"}])))
        assert tasks.count_documents(query) == 3
    from metriq_gym.store.mongo import connect

    async with Store(connect(mongo_url), mongo_database) as store:
        assert sum(each.count for each in await store.catalogue.due()) == 3


def test_without_keda_those_that_compute_scale_by_processor_time(components: dict[str, list[Manifest]]) -> None:
    manifests = components["hpa"]
    scaled = {each["spec"]["scaleTargetRef"]["name"] for each in of("HorizontalPodAutoscaler", manifests).values()}
    assert scaled == {"dispatcher", "poller", "scorer", "console"}
    assert {name for name, each in of("Deployment", manifests).items() if "replicas" not in each["spec"]} == scaled


def test_prometheus_asks_all_services_and_labels_what_they_say_as_compose_does() -> None:
    manifests = with_component("monitoring")
    (monitor,) = of("PodMonitor", manifests).values()
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    for name, deployment in of("Deployment", manifests).items():
        assert selects(monitor["spec"]["selector"], labels(manifests)[name])
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        assert endpoint["port"] in {port["name"] for port in container["ports"]}
    job, service = endpoint["relabelings"]
    compose = yaml.safe_load((FOLDER.parent / "prometheus" / "prometheus.yml").read_text())
    scrape = compose["scrape_configs"][0]
    assert job == {"targetLabel": "job", "replacement": scrape["job_name"]}
    assert [each["target_label"] for each in scrape["relabel_configs"]] == [service["targetLabel"]]
    assert service["sourceLabels"] == ["__meta_kubernetes_pod_label_app_kubernetes_io_component"]
    assert set(scrape["dns_sd_configs"][0]["names"]) == set(SERVICES)


def test_prometheus_alerts_as_compose_does() -> None:
    (rule,) = of("PrometheusRule", with_component("monitoring")).values()
    alerts = yaml.safe_load((FOLDER.parent / "prometheus" / "alerts.yml").read_text())
    assert rule["spec"] == alerts, (
        "{ sed '/^spec:/q' RULES; sed -n '/^groups:/,$p' deploy/prometheus/alerts.yml | sed 's/^./  &/'; }, "
        "where RULES is deploy/kubernetes/components/monitoring/rules.yaml"
    )


def test_external_secrets_are_those_that_are_referred_to() -> None:
    production = overlay("production")
    referred = {
        each["secretRef"]["name"]
        for container in containers(production)
        for each in container["envFrom"]
        if "secretRef" in each
    }
    referred |= {
        each["name"]
        for one in of("TriggerAuthentication", production).values()
        for each in one["spec"]["secretTargetRef"]
    }
    external = of("ExternalSecret", with_component("external-secrets"))
    assert {each["spec"]["target"]["name"] for each in external.values()} == referred
