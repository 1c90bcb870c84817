"""compose.yaml and the files of deploy/: load balancer, Kubernetes, Grafana's dashboard and Prometheus' alerts."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from serving.settings import Settings

DEPLOY = Path(__file__).parent.parent / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
COMPOSE = yaml.safe_load((DEPLOY.parent / "compose.yaml").read_text())["services"]
KUSTOMIZATION = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())
RULES = [
    rule
    for group in yaml.safe_load((DEPLOY / "prometheus" / "rules.yaml").read_text())["groups"]
    for rule in group["rules"]
]
DASHBOARD = json.loads((DEPLOY / "grafana" / "recommender.json").read_text())
# In a process of its own: in this one, other tests may have made the metrics of several workers.
METRICS = """
from serving.metrics import exposition, metrics
metrics()
print(exposition().decode())
"""


def directives() -> dict[str, list[list[str]]]:
    """Return the arguments of each directive of the load balancer, wherever it is."""
    text = re.sub(r"#.*", "", (DEPLOY / "nginx.conf").read_text())
    assert text.count("{") == text.count("}")
    found: dict[str, list[list[str]]] = {}
    for name, *arguments in (statement.split() for statement in re.split(r"[;{}]", text) if statement.strip()):
        found.setdefault(name, []).append(arguments)
    return found


def test_two_replicas_share_a_store_and_redis(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    service = COMPOSE["service"]
    assert service["deploy"]["replicas"] >= 2
    assert "ports" not in service  # two containers cannot have one port of the machine
    for name, value in service["environment"].items():
        monkeypatch.setenv(name, re.sub(r"\$\{\w+:-(\w+)\}", r"\1", value))
        assert name.removeprefix("RECOMMENDER_").lower() in Settings.model_fields
    settings = Settings.load()
    assert settings.store is not None
    assert settings.redis is not None
    assert {"postgres", "redis", "service", "balancer"} <= set(COMPOSE)
    assert settings.store.partition("@")[2].partition("/")[0] == "postgres"
    assert settings.redis.partition("//")[2].partition(":")[0] == "redis"
    assert settings.proxies == 1  # the balancer


def test_containers_wait_for_what_they_need() -> None:
    for name, service in COMPOSE.items():
        for other, how in service.get("depends_on", {}).items():
            has_check = "healthcheck" in COMPOSE[other] or "build" in COMPOSE[other]  # the Dockerfile has one
            assert how == {"condition": "service_healthy"}, name
            assert has_check, other


def test_the_balancer_forwards_what_the_service_needs() -> None:
    known = directives()
    (mounted,) = COMPOSE["balancer"]["volumes"]
    assert (DEPLOY.parent / mounted.partition(":")[0]).samefile(DEPLOY / "nginx.conf")
    (published,) = COMPOSE["balancer"]["ports"]
    assert [published.rpartition(":")[2]] in known["listen"]
    port = Settings.model_fields["port"].default
    assert known["set"] == [["$replicas", "service"]]
    assert known["proxy_pass"] == [[f"http://$replicas:{port}"]]
    headers = dict(known["proxy_set_header"])
    assert headers == {"Host": "$http_host", "X-Forwarded-For": "$proxy_add_x_forwarded_for"}
    (size,) = known["client_max_body_size"]
    assert int(size[0].removesuffix("m")) << 20 == Settings.model_fields["max_body_bytes"].default
    assert not any("non_idempotent" in arguments for arguments in known["proxy_next_upstream"])


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed: apt-get install nginx-light")
def test_nginx_reads_its_file() -> None:
    command = ["nginx", "-t", "-e", "stderr", "-c", str(DEPLOY / "nginx.conf")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "syntax is ok" in done.stderr  # whoever runs it: its folders are not this test's


def manifests() -> list[Path]:
    return sorted(path for path in KUBERNETES.glob("*.yaml") if path.name != "kustomization.yaml")


def document(name: str) -> Any:
    return yaml.safe_load((KUBERNETES / name).read_text())


@pytest.mark.parametrize("version", ["1.30", "1.34"])
@pytest.mark.parametrize("path", manifests(), ids=lambda path: path.name)
def test_manifests_are_valid(path: Path, version: str) -> None:
    for each in yaml.safe_load_all(path.read_text()):
        kubernetes_validate.validate(each, version, strict=True)


def test_the_kustomization_lists_every_manifest_and_each_image() -> None:
    listed = {*KUSTOMIZATION["resources"], "secret.example.yaml"}
    assert listed == {path.name for path in manifests()}
    names = {container["image"] for each in ("deployment.yaml", "update.yaml") for container in containers(each)}
    assert names == {image["name"] for image in KUSTOMIZATION["images"]}


def containers(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = document(name)["spec"]["template"]["spec"]["containers"]
    return found


def test_what_refers_to_pods_selects_them() -> None:
    pod = document("deployment.yaml")["spec"]["template"]
    labels = pod["metadata"]["labels"].items()
    assert document("service.yaml")["spec"]["selector"].items() <= labels
    assert document("disruption.yaml")["spec"]["selector"]["matchLabels"].items() <= labels
    assert (
        document("autoscaler.yaml")["spec"]["scaleTargetRef"]["name"]
        == document("deployment.yaml")["metadata"]["name"]
    )
    (port,) = containers("deployment.yaml")[0]["ports"]
    assert port["containerPort"] == Settings.model_fields["port"].default
    assert document("service.yaml")["spec"]["ports"][0]["targetPort"] == port["name"]


def test_requests_in_flight_end_before_the_pod_does() -> None:
    from serving.server import STOP_SECONDS

    pod = document("deployment.yaml")["spec"]["template"]["spec"]
    (service,) = pod["containers"]
    waited = int(service["lifecycle"]["preStop"]["exec"]["command"][1])
    probe = service["readinessProbe"]
    assert waited >= probe["periodSeconds"] * probe["failureThreshold"]
    assert pod["terminationGracePeriodSeconds"] >= waited + STOP_SECONDS + 5


def test_settings_and_commands_of_the_manifests_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.main import get_command

    from recommender.cli import app

    text = (KUBERNETES / "service.toml").read_text()
    for name, value in document("secret.example.yaml")["stringData"].items():
        monkeypatch.setenv(name, value)
    settings = Settings.load(KUBERNETES / "service.toml")
    assert (settings.store, settings.workers) == ("postgresql://recommender:PASSWORD@postgres/recommender", 2)
    assert settings.redis is not None
    assert set(tomllib.loads(text)) <= set(Settings.model_fields)
    commands = get_command(app).commands  # type: ignore[attr-defined]
    for name in ("deployment.yaml", "update.yaml"):
        (container,) = containers(name)
        command, *options = container["args"]
        known = {option for parameter in commands[command].params for option in parameter.opts}
        assert {option for option in options if option.startswith("--")} <= known
        settings_of = [each["name"] for each in container["env"] if each["name"].startswith("RECOMMENDER_")]
        assert {name.removeprefix("RECOMMENDER_").lower() for name in settings_of} <= set(Settings.model_fields)


def test_probes_ask_for_what_needs_no_key() -> None:
    from serving.routes import operations

    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        path = containers("deployment.yaml")[0][probe]["httpGet"]["path"]
        assert path.startswith("/healthz/")
        assert f'"{path}"' in Path(operations.__file__).read_text()


@pytest.fixture(scope="module")
def metric_names() -> set[str]:
    done = subprocess.run([sys.executable, "-c", METRICS], capture_output=True, text=True, check=True)
    names = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)", done.stdout, re.MULTILINE):
        names |= {name, *(f"{name}_{part}" for part in ("bucket", "sum", "count") if kind == "histogram")}
    return names


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in RULES)
    yield from (target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"])
    yield from (annotation["expr"] for annotation in DASHBOARD["annotations"]["list"])
    yield from (each["query"]["query"] for each in DASHBOARD["templating"]["list"] if each["type"] == "query")


@pytest.mark.parametrize("expression", [*expressions()])
def test_expressions_name_metrics_that_exist(metric_names: set[str], expression: str) -> None:
    named = set(re.findall(r"\brecommender_\w+", expression))
    assert named or 'up{job="recommender"}' in expression
    assert named <= metric_names, f"{sorted(named - metric_names)} are not in serving/metrics.py"
    assert all(expression.count(opening) == expression.count(closing) for opening, closing in ("()", "[]", "{}"))


def test_alerts_are_whole_and_named_once() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names)
    for rule in RULES:
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"][-1] in ".?"


def test_the_dashboard_has_no_panel_twice_nor_over_another() -> None:
    panels = DASHBOARD["panels"]
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    for values in (places, [panel["id"] for panel in panels], [panel["title"] for panel in panels]):
        assert len(set(values)) == len(values)
