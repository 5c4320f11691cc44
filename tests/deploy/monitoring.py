"""The configuration of Prometheus and Grafana: the files of deploy/, and the expressions in them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
GRAFANA = ROOT / "deploy" / "grafana"
CONFIG: dict[str, Any] = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
ALERTS: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((PROMETHEUS / "rules.yml").read_text())["groups"] for rule in group["rules"]
]
SCENARIOS: list[dict[str, Any]] = yaml.safe_load((PROMETHEUS / "rules_test.yml").read_text())["tests"]
SOURCE: dict[str, Any] = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())
PROVIDER: dict[str, Any] = yaml.safe_load((GRAFANA / "provisioning/dashboards/tidecast.yml").read_text())
DASHBOARD: dict[str, Any] = json.loads((GRAFANA / "dashboards/tidecast.json").read_text())
RUNBOOK = ROOT / "docs" / "how-to" / "monitoring.md"
SELECTED = re.compile(r"\b(tidecast_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(?:=~|!=|!~|=)\s*"([^"]*)"')


def panels() -> Iterator[dict[str, Any]]:
    """Yield the panels that show something: all but the rows."""
    yield from (panel for panel in DASHBOARD["panels"] if panel["type"] != "row")


def drawn() -> list[str]:
    """Return every expression of the dashboard."""
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def plain(expression: str) -> str:
    """Return an expression as Grafana sends it, with all workers chosen."""
    return expression.replace("$__rate_interval", "1m").replace("$instance", ".*")


def selected(expression: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Return the metrics that an expression names, each with the labels that it selects."""
    for name, matchers in SELECTED.findall(expression):
        yield name, dict(MATCHER.findall(matchers))
