"""Empty is unset, in variables, in the file and on the command line; and Kubernetes' variables are not settings."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from pydantic import BaseModel

from tests.harness.processes import run_command
from tidecast.cli import main as cli
from tidecast.errors import SettingsError
from tidecast.settings import PREFIX, Settings, load_settings
from tidecast.settings.unset import is_service_link, variables_of, without_empty_options

APP = typer.main.get_command(cli.app)
SERVICES = ("TIDECAST", "TIDECAST_REDIS", "TIDECAST_WORKER", "TIDECAST_WORKER__BATCH", "TIDECAST_DASHBOARD_2")
LINKS = {
    "SERVICE_HOST": "10.0.0.7",
    "SERVICE_PORT": "6379",
    "SERVICE_PORT_HTTP_HEALTH": "8080",
    "PORT": "tcp://10.0.0.7:6379",
    "PORT_6379_TCP": "tcp://10.0.0.7:6379",
    "PORT_6379_TCP_PROTO": "tcp",
    "PORT_6379_TCP_PORT": "6379",
    "PORT_6379_TCP_ADDR": "10.0.0.7",
    "PORT_53_UDP": "udp://[fd00::7]:53",
    "PORT_53_UDP_PROTO": "udp",
    "PORT_53_UDP_PORT": "53",
    "PORT_53_UDP_ADDR": "fd00::7",
    "PORT_9_SCTP": "sctp://10.0.0.7:9",
}


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable and no file but the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TIDECAST_CONFIG", raising=False)


def names(model: type[BaseModel], before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield every setting as its group and its name, and every group."""
    for name, field in model.model_fields.items():
        yield (*before, name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from names(field.annotation, (*before, name))


@pytest.mark.parametrize("variable", [*variables_of(Settings, PREFIX), "TIDECAST_CONFIG", "tidecast_worker__batch"])
def test_an_empty_variable_is_unset(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """Compose writes `${RETENTION:-}` as an empty text; it ended the worker for every number."""
    monkeypatch.setenv(variable, "")
    assert Settings() == load_settings()


@pytest.mark.parametrize("path", list(names(Settings)), ids=".".join)
def test_an_empty_text_in_the_file_is_unset(path: tuple[str, ...]) -> None:
    """The reference has `Empty: for ever`, and TOML has no other way to write that."""
    *group, name = path
    Path("tidecast.toml").write_text("".join(f"[{each}]\n" for each in group) + f'{name} = ""\n')
    assert Settings() == load_settings()


def test_an_empty_variable_leaves_the_file_its_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset, not reset."""
    Path("tidecast.toml").write_text('namespace = "plant"\n[worker]\nbatch = 7\nname = "w-1"\n')
    for name in ("NAMESPACE", "WORKER__BATCH", "WORKER__NAME"):
        monkeypatch.setenv(f"TIDECAST_{name}", "")
    settings = load_settings()
    assert ("plant", 7, "w-1") == (settings.namespace, settings.worker.batch, settings.worker.name)


@pytest.mark.parametrize("variable", ["TIDECAST_WORKER__BTACH", "TIDECAST_NAMESPCE"])
def test_an_empty_variable_that_names_no_setting_is_refused_all_the_same(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """Otherwise the typing error would show only once the variable has a value."""
    monkeypatch.setenv(variable, "")
    with pytest.raises(SettingsError, match=r"names no setting|does not exist"):
        load_settings()


@pytest.mark.parametrize("service", SERVICES)
def test_service_links_are_ignored(monkeypatch: pytest.MonkeyPatch, service: str) -> None:
    """Kubernetes sets these for every service of the namespace: one called `tidecast-redis` ended every pod."""
    for link, value in LINKS.items():
        monkeypatch.setenv(f"{service}_{link}", value)
    assert Settings() == load_settings()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TIDECAST_WORKER_PORT", "8080"),
        ("TIDECAST_PORT", "8088"),
        ("TIDECAST_REDIS_PORT", "6379"),
        ("TIDECAST_REDIS_HOST", "10.0.0.7"),
        ("TIDECAST_REDIS_SERVICE_HOST", "redis.example"),
        ("TIDECAST_REDIS_SERVICE_PORT", "tcp"),
        ("TIDECAST_REDIS_PORT_6379", "tcp://10.0.0.7:6379"),
        ("TIDECAST_SERVICE", "10.0.0.7"),
        ("TIDECASTSERVICE_HOST", "10.0.0.7"),
        ("TIDECAST_WORKER__HEALTH_PROT", "8080"),
    ],
)
def test_what_only_looks_like_a_service_link_is_refused(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """Somebody meant a setting; one without our prefix is not ours."""
    monkeypatch.setenv(variable, value)
    assert not is_service_link(PREFIX, variable, value)
    if variable.startswith(PREFIX):
        with pytest.raises(SettingsError, match=r"names no setting|does not exist"):
            load_settings()


def test_a_setting_whose_variable_has_the_form_of_a_service_link_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The health port ends in _PORT too, and so does the dashboard's."""
    monkeypatch.setenv("TIDECAST_WORKER__HEALTH_PORT", "8080")
    monkeypatch.setenv("TIDECAST_DASHBOARD__PORT", "8099")
    settings = load_settings()
    assert (8080, 8099) == (settings.worker.health_port, settings.dashboard.port)


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command with the words that lead to it."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, command
    for name, each in (inner or {}).items():
        yield from commands(each, (*path, name))


@pytest.mark.parametrize(("path", "command"), list(commands(APP)), ids=[" ".join(path) for path, _ in commands(APP)])
def test_an_empty_option_is_left_out(path: tuple[str, ...], command: Any) -> None:
    """Of every command every option that takes a value, in both forms; flags and the words between stay."""
    options = [param for param in command.params if param.opts[0].startswith("-")]
    for option in options:
        name = max(option.opts, key=len)
        words = [*path, "--json", "a", name, "", "--", name, ""]
        if option.is_flag:
            assert words == without_empty_options(APP, words)
        else:
            assert [*path, "--json", "a", "--", name, ""] == without_empty_options(APP, words)
            assert [*path, "a"] == without_empty_options(APP, [*path, f"{name}=", "a"])
            assert [*path, name, "models", "a"] == without_empty_options(APP, [*path, name, "models", "a"])


def test_the_command_takes_empty_options_for_none(capsys: pytest.CaptureFixture[str]) -> None:
    """A script passes its variables on: `--store "$STORE"` would otherwise be the current directory."""
    words = ["worker", "--check", "--json", "--store", "", "--health-port", "", "--namespace=", "--redis", ""]
    assert 0 == run_command(*words)
    assert "models" == json.loads(capsys.readouterr().out)["store"]
