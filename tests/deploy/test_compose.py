"""The rules that the Compose file keeps.

Each is a function from the parsed file to its offences, so that it is also shown to catch a broken file.
"""

import copy
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.deploy.compose import COMPOSE, ROOT, interpolate
from tests.deploy.dockerfile import is_pinned, stages
from tidecast.settings import Settings

# `version` is left out on purpose: the specification calls it obsolete.
TOP_LEVEL_KEYS = {"name", "include", "services", "networks", "volumes", "configs", "secrets"}
# Those of the specification that a service here has use for.
SERVICE_KEYS = {
    "build",
    "cap_drop",
    "command",
    "cpu_shares",
    "depends_on",
    "environment",
    "healthcheck",
    "image",
    "init",
    "ports",
} | {*("profiles", "read_only", "restart", "security_opt", "stop_grace_period", "tmpfs", "user", "volumes")}
DURATION = re.compile(r"(\d+(us|ms|s|m|h))+")

Offences = Iterator[str]


def unknown_keys(compose: dict[str, Any]) -> Offences:
    """A misspelt key would be refused, or worse, ignored."""
    yield from (key for key in compose if key not in TOP_LEVEL_KEYS and not key.startswith("x-"))
    for name, service in compose["services"].items():
        yield from (f"{name}.{key}" for key in service if key not in SERVICE_KEYS)


def unpinned_images(compose: dict[str, Any]) -> Offences:
    """A service is built here or names an image with a tag that does not wander."""
    for name, service in compose["services"].items():
        if "build" not in service and not is_pinned(service.get("image", "")):
            yield f"{name}: image {service.get('image')}"


def missing_health_checks(compose: dict[str, Any]) -> Offences:
    """A service that is restarted for ever has a health check and its interval."""
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
    """A published port belongs to this machine only: the services behind it do not authenticate their callers."""
    for name, service in compose["services"].items():
        yield from (f"{name}: {port}" for port in service.get("ports", []) if not str(port).startswith("127.0.0.1:"))


def missing_files(compose: dict[str, Any]) -> Offences:
    """Mounted files exist in the repository, and are read-only; otherwise Docker would make a directory."""
    for name, service in compose["services"].items():
        for mount in service.get("volumes", []):
            if isinstance(mount, str) and mount.startswith("."):
                source, _, terms = mount.split(":")
                if not (ROOT / source).exists() or terms != "ro":
                    yield f"{name}: {mount}"


def started_without_being_asked_for(compose: dict[str, Any]) -> Offences:
    """Beside Redis, the worker and the schedule nothing starts unless its profile is named."""
    for name, service in compose["services"].items():
        if name not in ("redis", "worker", "retrain") and not service.get("profiles"):
            yield name


def too_much_power(compose: dict[str, Any]) -> Offences:
    """No service runs as root, writes outside its volumes or can gain privileges."""
    for name, service in compose["services"].items():
        user = service["user"] if "image" in service else stages()[service["build"]["target"]]["USER"][-1]
        if user.split(":")[0] in ("", "0", "root"):
            yield f"{name}: user {user!r}"
        if service.get("cap_drop") != ["ALL"] or service.get("read_only") is not True:
            yield f"{name}: capabilities or a writable file system"
        if "no-new-privileges:true" not in service.get("security_opt", []):
            yield f"{name}: new privileges"


def unknown_settings(compose: dict[str, Any]) -> Offences:
    """Every TIDECAST_ variable of a service is a setting, and its value is a valid one."""
    for name, service in compose["services"].items():
        given = {key: interpolate(value) for key, value in service.get("environment", {}).items()}
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
