"""The configuration of Prometheus and Grafana, checked without either: it parses, fits together, and names what
exists.
"""

import re
from collections import Counter
from typing import Any

import pytest

from tests.deploy.compose import COMPOSE
from tests.deploy.monitoring import (
    ALERTS,
    CONFIG,
    DASHBOARD,
    PROMETHEUS,
    PROVIDER,
    RUNBOOK,
    SCENARIOS,
    SOURCE,
    drawn,
    panels,
    plain,
    selected,
)
from worker.metrics import Health

NAMES = [alert["alert"] for alert in ALERTS]
OURS_TO_ADD = {"job", "instance", "le"}  # labels of Prometheus and of a histogram


@pytest.fixture(scope="module")
def samples() -> dict[str, dict[str, set[str]]]:
    """Return the samples of a worker with a model: metric -> label -> values."""
    health = Health()
    health.serving([0])
    by_name: dict[str, dict[str, set[str]]] = {}
    for family in health.registry.collect():
        for sample in family.samples:
            labels = by_name.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    return by_name


def unknown(expression: str, samples: dict[str, dict[str, set[str]]]) -> list[str]:
    """Return the metrics, labels and values of an expression that no worker shows."""
    wrong = []
    for metric, labels in selected(expression):
        if metric not in samples:
            wrong.append(metric)
            continue
        for label, value in labels.items():
            known = samples[metric].get(label, set())
            if label not in OURS_TO_ADD and not set(value.split("|")) <= known:
                wrong.append(f'{metric}{{{label}="{value}"}}')
    return wrong


@pytest.mark.parametrize("alert", ALERTS, ids=NAMES)
def test_an_alert_is_about_what_a_worker_shows(alert: dict[str, Any], samples: dict[str, Any]) -> None:
    """A misspelt metric or label never fires."""
    assert [] == unknown(alert["expr"], samples)


def test_the_dashboard_draws_what_a_worker_shows(samples: dict[str, Any]) -> None:
    """A misspelt metric or label is an empty panel."""
    assert [] == [wrong for expression in drawn() for wrong in unknown(expression, samples)]


@pytest.mark.parametrize(
    "expression", ["tidecast_reading_total", 'tidecast_failures_total{kind="reddis"}', 'tidecast_models{which="a"}']
)
def test_what_no_worker_shows_would_be_found(expression: str, samples: dict[str, Any]) -> None:
    """The check fails for an unknown metric or label."""
    assert 1 == len(unknown(expression, samples))


def test_every_metric_is_drawn(samples: dict[str, Any]) -> None:
    """Each counted figure has a chart; of a histogram and of a counter one of the series is enough."""
    shown = {metric for expression in drawn() for metric, _ in selected(expression)}
    stems = {re.sub(r"_(bucket|sum|count|created|total)$", "", metric) for metric in samples}
    assert set() == stems - {re.sub(r"_(bucket|sum|count|created|total)$", "", metric) for metric in shown}


@pytest.mark.parametrize("alert", ALERTS, ids=NAMES)
def test_an_alert_says_how_bad_it_is_what_it_is_and_where_to_read_on(alert: dict[str, Any]) -> None:
    """Severity, a time that it must last, a sentence, and a section of the runbook that has its name."""
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert re.fullmatch(r"[1-9]\d*[mh]", alert["for"])
    assert alert["annotations"]["summary"].endswith(".")
    page, _, anchor = alert["annotations"]["runbook"].partition("#")
    assert ("docs/how-to/monitoring.md", alert["alert"].lower()) == (page, anchor)
    assert f"\n### {alert['alert']}\n" in RUNBOOK.read_text()


def test_the_runbook_lists_every_alert_with_its_severity() -> None:
    """The table and the sections have no other alerts than the rules, and the same words."""
    rows = re.findall(r"^\| \[(\w+)\]\(#(\w+)\) \| (\w+) \| (\w+) \|", RUNBOOK.read_text(), re.MULTILINE)
    expected = [(rule["alert"], rule["alert"].lower(), rule["labels"]["severity"], rule["for"]) for rule in ALERTS]
    assert expected == rows
    assert NAMES == re.findall(r"^### (Tidecast\w+)$", RUNBOOK.read_text(), re.MULTILINE)


def test_every_alert_is_tested_to_fire() -> None:
    """Each is expected in a scenario of rules_test.yml, and its name is used once."""
    expected = {
        name
        for scenario in SCENARIOS
        for check in scenario.get("promql_expr_test", [])
        for sample in check["exp_samples"]
        for name in re.findall(r'alertname="(\w+)"', sample["labels"])
    }
    assert set(NAMES) == expected
    assert {1} == set(Counter(NAMES).values())


def test_prometheus_finds_the_workers_of_the_compose_file() -> None:
    """It has the service, the port, and the job of the rules; the rules are beside it."""
    (job,) = CONFIG["scrape_configs"]
    (discovery,) = job["dns_sd_configs"]
    assert "tidecast" == job["job_name"]
    assert ["worker", "retrain", "notify"] == discovery["names"]
    assert COMPOSE["services"]["worker"]["environment"]["TIDECAST_WORKER__HEALTH_PORT"] == str(discovery["port"])
    for service in ("retrain", "notify"):
        assert ["--health-port", str(discovery["port"])] == COMPOSE["services"][service]["command"][-2:]
    assert all((PROMETHEUS / name).is_file() for name in CONFIG["rule_files"])


def test_grafana_asks_the_prometheus_of_the_compose_file() -> None:
    """One source, and every panel, variable and annotation refers to it."""
    (source,) = SOURCE["datasources"]
    command = " ".join(COMPOSE["services"]["prometheus"]["command"])
    asking = [*panels(), *DASHBOARD["templating"]["list"], *DASHBOARD["annotations"]["list"]]
    assert "http://prometheus:9090" == source["url"]
    assert "--config.file=/etc/prometheus/prometheus.yml" in command
    assert CONFIG["global"]["scrape_interval"] == source["jsonData"]["timeInterval"]
    assert [{"type": source["type"], "uid": source["uid"]}] * len(asking) == [target["datasource"] for target in asking]


def test_grafana_finds_the_dashboard_where_it_is_mounted() -> None:
    """The provider's directory and the home page lie in the mount."""
    service = COMPOSE["services"]["grafana"]
    mounts = dict(mount.split(":")[:2] for mount in service["volumes"])
    folder = mounts["./deploy/grafana/dashboards"]
    assert "/etc/grafana/provisioning" == mounts["./deploy/grafana/provisioning"]
    assert folder == PROVIDER["providers"][0]["options"]["path"]
    assert f"{folder}/tidecast.json" == service["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]


def test_the_panels_have_numbers_of_their_own_and_do_not_overlap() -> None:
    """Grafana would renumber or move them, each time in another way."""
    every = DASHBOARD["panels"]
    assert {1} == set(Counter(panel["id"] for panel in every).values())
    cells = Counter(
        (at["x"] + column, at["y"] + line)
        for at in (panel["gridPos"] for panel in every)
        for column in range(at["w"])
        for line in range(at["h"])
    )
    assert {1} == set(cells.values())
    assert max(column for column, _ in cells) < 24


def test_every_panel_says_what_it_shows() -> None:
    """It has a title, a sentence, a unit, and targets with letters of their own."""
    for panel in panels():
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert len(panel["targets"]) == len({target["refId"] for target in panel["targets"]})


def test_no_variable_of_grafana_is_left_in_a_plain_expression() -> None:
    """Only those that the dashboard defines are used."""
    assert ["instance"] == [variable["name"] for variable in DASHBOARD["templating"]["list"]]
    assert [] == [expression for expression in drawn() if "$" in plain(expression)]
