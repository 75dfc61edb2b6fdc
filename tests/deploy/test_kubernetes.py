"""What the manifests say to each other. Whether each is one, `deploy/check` asks of Kubernetes' own schemas."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from messenger.config import PREFIX, Config
from messenger.server import SHUTDOWN_S
from messenger.supervisor import FAREWELL_S
from tests.support.command import messenger
from tests.support.daemon import PATIENCE_S, environment
from tests.support.database import Database

FOLDER = Path(__file__).parents[2] / "deploy/kubernetes"
# Kinds that only the Prometheus operator brings: named by the example in a comment.
OPTIONAL = {"monitor.yaml"}


def read(path: str) -> Any:
    return yaml.safe_load((FOLDER / path).read_text())


def settings_in(lines: list[str]) -> set[str]:
    return {line.partition("=")[0] for line in lines if line and not line.startswith("#")}


@pytest.fixture(scope="module")
def base() -> dict[str, Any]:
    """Everything by its kind; there is one of each."""
    found = [read(f"base/{name}") for name in read("base/kustomization.yaml")["resources"]]
    by_kind = {one["kind"]: one for one in found}
    assert len(by_kind) == len(found)
    return by_kind


@pytest.mark.parametrize("folder", ["base", "example"])
def test_every_file_is_named(folder: str) -> None:
    there = {path.name for path in (FOLDER / folder).glob("*.yaml")} - {"kustomization.yaml"}
    named = {name for name in read(f"{folder}/kustomization.yaml")["resources"] if not name.startswith("../")}
    assert named == there - OPTIONAL
    text = (FOLDER / folder / "kustomization.yaml").read_text()
    assert all(f"# - {name}" in text for name in there & OPTIONAL)


def test_the_example_stands_on_the_base_and_alters_what_is_there(base: dict[str, Any]) -> None:
    example = read("example/kustomization.yaml")
    assert "../base" in example["resources"]
    assert read("example/namespace.yaml")["metadata"]["name"] == example["namespace"]
    for patch in example["patches"]:
        target = patch["target"]
        assert base[target["kind"]]["metadata"]["name"] == target["name"]
        for step in yaml.safe_load(patch["patch"]):
            assert step["op"] == "add"
            parent, last = base[target["kind"]], step["path"].split("/")[1:]
            for name in last[:-1]:
                parent = parent[name]
            assert last[-1] not in parent
    images = {image["name"] for image in example["images"]}
    assert {container["image"] for container in containers(base)} == images
    generated = {one["name"] for one in read("base/kustomization.yaml")["configMapGenerator"]}
    assert {one["name"] for one in example["configMapGenerator"] if one["behavior"] == "merge"} <= generated


def pods(base: dict[str, Any]) -> list[Any]:
    return [base[kind]["spec"]["template"] for kind in ("Deployment", "Job")]


def containers(base: dict[str, Any]) -> list[Any]:
    return [one for pod in pods(base) for one in (*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"])]


def test_whoever_selects_pods_selects_the_daemons_and_nothing_else(base: dict[str, Any]) -> None:
    daemon, migration = (pod["metadata"]["labels"] for pod in pods(base))
    spec = base["Deployment"]["spec"]
    selectors = [
        spec["selector"]["matchLabels"],
        base["Service"]["spec"]["selector"],
        base["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        base["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        read("example/monitor.yaml")["spec"]["selector"]["matchLabels"],
        *(one["labelSelector"]["matchLabels"] for one in spec["template"]["spec"]["topologySpreadConstraints"]),
    ]
    for selector in selectors:
        assert selector.items() <= daemon.items()
        assert not selector.items() <= migration.items()


def test_what_is_referred_to_is_there(base: dict[str, Any]) -> None:
    generated = {one["name"] for one in read("base/kustomization.yaml")["configMapGenerator"]}
    made_by_hand = {"messenger", "messenger-migrate"}
    for container in containers(base):
        for source in container["envFrom"]:
            assert source.get("configMapRef", {}).get("name", "messenger") in generated
            assert source.get("secretRef", {}).get("name", "messenger") in made_by_hand
    (daemon,) = base["Deployment"]["spec"]["template"]["spec"]["containers"]
    (port,) = daemon["ports"]
    assert daemon["args"][-1] == str(port["containerPort"])
    probes = [daemon[name]["httpGet"] for name in ("startupProbe", "readinessProbe", "livenessProbe")]
    assert [(probe["path"], probe["port"]) for probe in probes] == [
        ("/healthz", port["name"]),
        ("/readyz", port["name"]),
        ("/healthz", port["name"]),
    ]
    (served,) = base["Service"]["spec"]["ports"]
    assert served["targetPort"] == port["name"]
    assert base["NetworkPolicy"]["spec"]["ingress"][0]["ports"] == [{"protocol": "TCP", "port": port["name"]}]
    volumes = {volume["name"]: volume for volume in base["Deployment"]["spec"]["template"]["spec"]["volumes"]}
    assert {mount["name"] for mount in daemon["volumeMounts"]} == set(volumes)
    claim = volumes["uploads"]["persistentVolumeClaim"]["claimName"]
    assert claim == base["PersistentVolumeClaim"]["metadata"]["name"]
    for ingress in ingresses():
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                assert path["backend"]["service"] == {
                    "name": base["Service"]["metadata"]["name"],
                    "port": {"name": served["name"]},
                }


def ingresses() -> list[Any]:
    return list(yaml.safe_load_all((FOLDER / "example/ingress.yaml").read_text()))


def test_another_pod_is_asked_after_a_503_only_where_sockets_are_opened() -> None:
    asked: dict[str, bool] = {}
    for ingress in ingresses():
        said = ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-next-upstream"].split()
        assert set(said) - {"http_503"} == {"error", "timeout"}
        (rule,) = ingress["spec"]["rules"]
        assert ingress["spec"]["tls"][0]["hosts"] == [rule["host"]]
        asked |= {path["path"]: "http_503" in said for path in rule["http"]["paths"]}
    sockets = {"/ws", "/api/v1/messenger/ws", "/api/v1/chat/ws", "/socket.io"}
    assert asked == {path: path in sockets for path in sockets | {"/api"}}


def test_the_host_applications_pods_may_come_in_by_their_label(base: dict[str, Any]) -> None:
    """From every namespace; Prometheus and the ingress controller by theirs."""
    (by_namespace, by_label) = base["NetworkPolicy"]["spec"]["ingress"][0]["from"]
    (name,) = by_namespace["namespaceSelector"]["matchExpressions"]
    assert (name["key"], name["values"]) == ("kubernetes.io/metadata.name", ["ingress-nginx", "monitoring"])
    assert by_label == {"namespaceSelector": {}, "podSelector": {"matchLabels": {"messenger-client": "true"}}}
    assert 'messenger-client: "true"' in (FOLDER.parent / "README.md").read_text()


def test_a_pod_is_not_killed_before_it_has_drained(base: dict[str, Any]) -> None:
    pod = base["Deployment"]["spec"]["template"]["spec"]
    *_, sleep = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert pod["terminationGracePeriodSeconds"] > int(sleep) + Config().drain_s + 10
    assert FAREWELL_S > 10 + SHUTDOWN_S  # what systemd is asked for


def test_every_container_is_confined(base: dict[str, Any]) -> None:
    for pod in pods(base):
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == spec["securityContext"]["runAsGroup"] == 10001
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in containers(base):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_prometheus_knows_the_pods_as_the_rules_do(base: dict[str, Any]) -> None:
    spec = read("example/monitor.yaml")["spec"]
    assert pods(base)[0]["metadata"]["labels"][spec["jobLabel"]] == "messenger"  # test_watching: what the rules ask for
    (endpoint,) = spec["podMetricsEndpoints"]
    # One in its init container is no node that is down.
    assert endpoint["relabelings"] == [
        {"sourceLabels": ["__meta_kubernetes_pod_phase"], "regex": "Pending", "action": "drop"}
    ]


def test_the_rules_come_to_the_operator_as_they_are() -> None:
    root = FOLDER.parents[1]
    (lines,) = re.findall(
        r"```sh\n((?:(?!```).)*PrometheusRule.*?)```", (root / "deploy/README.md").read_text(), re.DOTALL
    )
    said = subprocess.run(["bash", "-euc", f"kubectl() {{ cat; }}\n{lines}"], cwd=root, capture_output=True, check=True)
    rule = yaml.safe_load(said.stdout)
    assert (rule["apiVersion"], rule["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert rule["spec"] == yaml.safe_load((root / "deploy/prometheus/alerts.yml").read_text())


async def test_a_pod_waits_until_the_job_has_migrated(
    base: dict[str, Any], empty_database: Database, tmp_path: Path
) -> None:
    """With the daemon's own rights only."""
    (init,), (job,) = (
        base["Deployment"]["spec"]["template"]["spec"]["initContainers"],
        pods(base)[1]["spec"]["containers"],
    )
    program = tmp_path / "messenger"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m messenger "$@"\n')
    program.chmod(0o755)
    environ = environment({"database_url": empty_database.app_url})
    waiting = await asyncio.create_subprocess_exec(
        *init["command"],
        env=environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert waiting.stderr
    async with asyncio.timeout(PATIENCE_S):
        assert await waiting.stderr.readline() == b"messenger: the database is not migrated: run messenger migrate\n"
        assert (await messenger(*job["args"], migrate_database_url=empty_database.owner_url)).code == 0
        assert await waiting.wait() == 0


@pytest.mark.parametrize(
    "path",
    ["kubernetes/base/messenger.env", "kubernetes/example/secrets.env", "kubernetes/example/migrate.env"]
    + ["systemd/messenger.env", "systemd/migrate.env"],
)
def test_every_setting_is_one_and_the_daemons_do_not_know_the_owner(path: str) -> None:
    lines = (FOLDER.parent / path).read_text().splitlines()
    environ = {name: value for name, _, value in (line.partition("=") for line in lines if line.startswith(PREFIX))}
    assert environ.keys() == settings_in(lines)
    _, warnings = Config.from_environ(environ)
    assert not warnings
    assert (f"{PREFIX}MIGRATE_DATABASE_URL" in environ) == path.endswith("migrate.env")
