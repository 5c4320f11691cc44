"""The alerts and the dashboard against a real Prometheus and a real worker."""

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from redis import Redis

from tests.deploy.monitoring import ALERTS, PROMETHEUS, ROOT, SCENARIOS, drawn, plain
from tests.harness.models import make_model
from tests.harness.patience import PATIENCE_S
from tests.harness.processes import worker_process
from tests.monitoring.prometheus import Prometheus, prometheus, until
from tidecast.client import Client
from tidecast.connection.embedded import EmbeddedRedis, free_port
from tidecast.models.store import ModelStore
from worker.metrics import Health

pytestmark = pytest.mark.monitoring
READINGS = 2000
# Metrics that are empty without a schedule, or while Prometheus has known the worker for seconds only.
EMPTY = re.compile(r"retrain_(seconds|last|next)|ALERTS")


class Watched(NamedTuple):
    """A worker that has answered some readings, and the Prometheus that looks at it."""

    prometheus: Prometheus
    worker: subprocess.Popen[str]
    server: EmbeddedRedis


@pytest.fixture(scope="module")
def watched(redis_program: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Both, until the last readings were seen."""
    store = tmp_path_factory.mktemp("models")
    port = free_port()
    ModelStore(store).publish(make_model("s0", created_ms=round(time.time() * 1000)))
    with (
        EmbeddedRedis(redis_program) as server,
        worker_process(server.url, store, "--health-port", str(port)) as worker,
        prometheus(tmp_path_factory.mktemp("prometheus"), port) as observer,
        Client(server.url) as client,
    ):
        until(lambda: observer.query("tidecast_partitions_held") == [1.0])
        client.push_many((f"s{n % 20}", float(n % 7), 1000 + n // 20 * 1000) for n in range(READINGS))
        until(lambda: observer.query('tidecast_readings_total{disposition="forecast"}') == [READINGS])
        yield Watched(observer, worker, server)


def promtool(*words: str, folder: Path = PROMETHEUS) -> tuple[int, str]:
    """Run it beside the rules; return the exit code and the output."""
    done = subprocess.run(
        ["promtool", *words],  # noqa: S607 - that of the PATH
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("words", ["check config prometheus.yml", "check rules rules.yml", "test rules rules_test.yml"])
def test_promtool_finds_no_fault(words: str) -> None:
    """The configuration and the rules are valid, and each alert fires on its own fault and on no other."""
    code, output = promtool(*words.split())
    assert (0, output) == (code, output)


@pytest.mark.parametrize("name", [alert["alert"] for alert in ALERTS])
def test_an_alert_that_never_fires_would_be_found(name: str, tmp_path: Path) -> None:
    """Its scenario fails without the alert and succeeds with it, so that its success means something."""
    silenced = [rule | {"expr": "vector(0) > 0"} if rule["alert"] == name else rule for rule in ALERTS]
    wanting = [scenario for scenario in SCENARIOS if f'alertname="{name}"' in str(scenario.get("promql_expr_test"))][:1]
    tests = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": wanting}
    (tmp_path / "test.yml").write_text(yaml.safe_dump(tests))
    codes = []
    for rules in (ALERTS, silenced):
        (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "some", "rules": rules}]}))
        codes.append(promtool("test", "rules", "test.yml", folder=tmp_path)[0])
    assert [0, 1] == codes


def test_every_metric_of_the_reference_is_scraped(watched: Watched) -> None:
    """The reference lists exactly the metrics that Prometheus has scraped from a worker that answers."""
    seen = {name for name in watched.prometheus.names() if name.startswith("tidecast_")}
    table = (ROOT / "docs" / "reference.md").read_text().split("\n## Metrics")[1].split("\n## ")[0]
    documented = set(re.findall(r"`(tidecast_\w+)", table))
    shown = {re.sub(r"_(bucket|count|sum|created)$", "", name) for name in seen}
    assert documented == {name for name in shown if not re.search(r"_created$", name) and f"{name}_total" not in shown}


def test_every_sample_of_a_worker_is_scraped(watched: Watched) -> None:
    """Prometheus refuses none of the lines."""
    health = Health()
    health.serving([0])
    expected = {sample.name for family in health.registry.collect() for sample in family.samples}
    assert set() == expected - watched.prometheus.names()


@pytest.mark.parametrize("expression", drawn())
def test_prometheus_draws_what_the_dashboard_asks_for(watched: Watched, expression: str) -> None:
    """Each expression is valid, and shows something of a worker that answers, or is known to need more."""
    samples = watched.prometheus.query(plain(expression))
    assert True is bool(samples or EMPTY.search(expression))


def test_a_healthy_worker_raises_no_alert_and_each_accident_its_own(watched: Watched) -> None:
    """Every alert is loaded and inactive; then each fault of the worker or of Redis fires the alert that is meant for
    it.
    """
    observer, worker, server = watched

    def raised(name: str) -> bool:
        return observer.alerts()[name] == "pending"

    groups = observer.ask("rules")["groups"]
    assert {"ok"} == {rule["health"] for group in groups for rule in group["rules"]}
    assert {alert["alert"]: "inactive" for alert in ALERTS} == observer.alerts()
    with Redis.from_url(server.url) as redis:
        for _ in range(READINGS // 20):
            redis.xadd("readings", {"series": "s0", "value": "no number"})
        until(lambda: raised("TidecastDeadLetters"))
        redis.config_set("min-replicas-to-write", 1)
        until(lambda: raised("TidecastRedisRefuses"))
    server.kill()
    until(lambda: raised("TidecastRedisUnreachable"))
    worker.kill()
    until(lambda: raised("TidecastWorkerDown"))
