"""A real Prometheus with the configuration of deploy/, for the length of a `with` block."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml

from tests.deploy.monitoring import CONFIG, PROMETHEUS
from tidecast.connection.embedded import free_port

PATIENCE_S = 150.0


class Prometheus:
    """A client of a Prometheus on its port."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def ready(self) -> bool:
        """Return whether it takes questions."""
        try:
            with urlopen(f"{self._url}/-/ready", timeout=PATIENCE_S):  # noqa: S310 - our own port
                return True
        except (URLError, ConnectionError):
            return False

    def ask(self, path: str, **words: str) -> Any:
        """Return the data of an answer; an expression that it refuses is an HTTPError."""
        with urlopen(f"{self._url}/api/v1/{path}?{urlencode(words)}", timeout=PATIENCE_S) as answer:  # noqa: S310 - our own port
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[float]:
        """Return the values of an expression now."""
        return [float(sample["value"][1]) for sample in self.ask("query", query=expression)["result"]]

    def names(self) -> set[str]:
        """Return every metric that it has seen."""
        return set(self.ask("label/__name__/values"))

    def alerts(self) -> dict[str, str]:
        """Return the alerts' names and states: inactive, pending or firing."""
        return {rule["name"]: rule["state"] for group in self.ask("rules")["groups"] for rule in group["rules"]}


@contextmanager
def prometheus(folder: Path, worker_port: int) -> Iterator[Prometheus]:
    """A server on our rules that looks at one worker every second."""
    (job,) = CONFIG["scrape_configs"]
    here = {"job_name": job["job_name"], "static_configs": [{"targets": [f"127.0.0.1:{worker_port}"]}]}
    config = CONFIG | {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(PROMETHEUS / name) for name in CONFIG["rule_files"]],
        "scrape_configs": [here],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    options = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    command = ["prometheus", *options, f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
    with subprocess.Popen(command) as process:
        try:
            server = Prometheus(port)
            until(server.ready)
            yield server
        finally:
            process.terminate()


def until(holds: Callable[[], bool]) -> None:
    """Wait for an event in another program."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
