"""The reference names everything that a user can set, call or watch."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from prometheus_client import CollectorRegistry

from tidecast.cli import app
from tidecast.settings import Settings
from worker.health import Health

REFERENCE = (Path(__file__).parent.parent / "docs" / "reference.md").read_text()


def commands(group: Any, path: str = "tidecast") -> Iterator[tuple[str, Any]]:
    """Every command with its full name."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


@pytest.mark.parametrize(("name", "command"), list(commands(typer.main.get_command(app))))
def test_every_command_and_option_is_documented(name: str, command: Any) -> None:
    """A command or option that the reference does not name is not finished."""
    assert f"`{name}" in REFERENCE
    options = {max(param.opts, key=len) for param in command.params if param.opts[0].startswith("-")}
    assert {option for option in options if option not in REFERENCE} == set()


def test_every_setting_is_documented_with_its_default() -> None:
    """The table of settings is complete."""
    missing = [name for name, line in _settings(Settings) if line not in REFERENCE]
    assert [] == missing


def test_every_metric_is_documented() -> None:
    """An operator finds each metric's meaning."""
    registry: CollectorRegistry = Health().registry
    names = [family.name for family in registry.collect()]
    assert [] == [name for name in names if name not in REFERENCE]


def _settings(model: type, prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, found in model.model_fields.items():  # type: ignore[attr-defined] # a pydantic model
        if hasattr(found.annotation, "model_fields"):
            yield from _settings(found.annotation, f"{prefix}{name}.")
            continue
        default = found.default
        value = default.get_secret_value() if hasattr(default, "get_secret_value") else default
        shown = f"`{value}`" if value not in ("", None) else ""
        yield prefix + name, f"| `{prefix}{name}` | {shown} | {found.description} |".replace("|  |", "| |")
