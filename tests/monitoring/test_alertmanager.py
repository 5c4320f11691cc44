"""A real Alertmanager takes our alerts, and they end when the conditions do."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.monitoring.prometheus import PATIENCE_S, Prometheus, until
from tidecast.connection.embedded import free_port
from tidecast.settings import NotifySettings
from tidecast.wire import Event
from worker.notify.messages import body_of
from worker.notify.receiver import Receiver

pytestmark = pytest.mark.monitoring


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[int]:
    """The port of a server that tells nobody."""
    (tmp_path / "a.yml").write_text("{route: {receiver: nobody}, receivers: [{name: nobody}]}")
    port = free_port()
    command = ["prometheus-alertmanager", "--config.file=a.yml", "--storage.path=data", "--cluster.listen-address="]
    command.append(f"--web.listen-address=127.0.0.1:{port}")
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
        until(Prometheus(port).ready)  # its path is that of Prometheus
        yield port
        process.terminate()


def active(port: int) -> set[str]:
    """Return the alerts that fire, as name and series."""
    with urlopen(f"http://127.0.0.1:{port}/api/v2/alerts?active=true", timeout=PATIENCE_S) as answer:
        return {f"{alert['labels']['alertname']} {alert['labels']['series']}" for alert in json.load(answer)}


def test_alerts_begin_and_end_in_a_real_alertmanager(alertmanager: int) -> None:
    """Also one whose sensor sends the times of years ago, and one whose series was deleted."""
    receiver = Receiver(NotifySettings(url=f"http://127.0.0.1:{alertmanager}", format="alertmanager"))
    now_ms = round(time.time() * 1000)

    def post(*events: tuple[str, str, dict[str, str | float]]) -> None:
        made = [Event(kind, "a sentence", name, id=f"{now_ms}-0", facts=facts) for kind, name, facts in events]
        receiver.post(body_of("alertmanager", made, "", now_ms))

    post(
        ("anomaly", "a", {"phase": "begins", "ts": now_ms - 60_000, "value": 84.0}),
        ("stuck", "b", {"ts": 1_000_000_000_000, "since": 999_999_000_000}),
        ("silent", "c", {"ts": now_ms}),
        ("level_changed", "d", {"ts": now_ms, "old": 1.0, "new": 2.0}),
    )
    begun = {"TidecastAnomaly a", "TidecastStuck b", "TidecastSilent c", "TidecastLevelChanged d"}
    until(lambda: active(alertmanager) == begun)
    post(
        ("anomaly", "a", {"phase": "ends", "ts": now_ms, "since": now_ms - 60_000}),
        ("unstuck", "b", {"ts": 1_000_000_060_000, "since": 999_999_000_000}),
        ("series_deleted", "c", {}),
    )
    until(lambda: active(alertmanager) == {"TidecastLevelChanged d"})
