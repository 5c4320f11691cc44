"""The reference names everything that a user can set, call or watch, each in its own place, and nothing else."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from prometheus_client import CollectorRegistry

import tidecast
from tidecast.cli.command_group import panel_of
from tidecast.cli.exit_codes import FAILED, MISUSED, SOME_REFUSED
from tidecast.cli.main import app
from tidecast.settings import Settings
from tidecast.signals import stopping
from worker.metrics import Health

ROOT = Path(__file__).parent.parent
REFERENCE = (ROOT / "docs" / "reference.md").read_text()
DOCTOR = (ROOT / "docs" / "how-to" / "doctor.md").read_text()
COMMON = {"--redis", "--namespace", "--store"}  # described in one sentence, wherever they are
COMPLETION = {"--install-completion", "--show-completion"}


def commands(group: Any, path: str = "tidecast") -> Iterator[tuple[str, Any]]:
    """Yield every command with its full name."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


ALL = dict(commands(typer.main.get_command(app)))


def row(name: str) -> str:
    """Return the row of a command in the table, with the rows that it refers to."""
    match = re.search(rf"^\| `{name}[` ].*$", REFERENCE, re.MULTILINE)
    assert match, f"{name} has no row"
    like = re.search(r"options as for `(\w+)`", match[0])
    return match[0] + (row(f"tidecast {like[1]}") if like else "")


def options_of(command: Any) -> set[str]:
    """Its options by their longest names."""
    return {max(param.opts, key=len) for param in command.params if param.opts[0].startswith("-")}


@pytest.mark.parametrize("name", ALL)
def test_every_command_and_option_is_documented(name: str) -> None:
    """In the command's own row; an option that the reference does not name is not finished."""
    documented = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", row(name)))
    assert set() == options_of(ALL[name]) - COMMON - documented


@pytest.mark.parametrize("name", ALL)
def test_every_command_takes_the_options_that_its_row_names(name: str) -> None:
    """Renamed or removed options do not stay in the reference."""
    row_of_its_own = row(name).split("\n")[0].partition(" | options as for")[0]
    documented = set(re.findall(r"`(--[a-z-]+)", row_of_its_own))
    assert set() == documented - options_of(ALL[name])


@pytest.mark.parametrize("name", ALL)
def test_the_help_has_the_sections_of_the_reference(name: str) -> None:
    """A command is found under the same title in both."""
    before = REFERENCE[: REFERENCE.index(row(name).split("\n")[0])]
    assert re.findall(r"^### (.+)$", before, re.MULTILINE)[-1] == panel_of(name.split()[1])


def test_every_command_prints_json_if_asked() -> None:
    """Programs are users too; one always does, and one prints an address and shows pages."""
    others = {name for name, command in ALL.items() if "--json" not in options_of(command)}
    assert {"tidecast models show", "tidecast dashboard"} == others


def test_every_public_name_is_in_the_reference_of_python() -> None:
    """A name that the page lacks is one that nobody finds."""
    page = (ROOT / "docs" / "reference" / "python.md").read_text()
    assert set() == {name for name in tidecast.__all__ if f"[`tidecast.{name}`]" not in page}


def test_the_options_of_many_commands_are_documented() -> None:
    """Once, below the table; and those of the program itself."""
    sentence = re.search(r"^`--redis`, `--namespace` and `--store` set for one command.*$", REFERENCE, re.MULTILINE)
    assert sentence
    own = options_of(typer.main.get_command(app))
    assert set() == {option for option in own if f"`tidecast {option}`" not in REFERENCE}
    assert own >= COMPLETION


def test_the_reference_names_no_command_that_does_not_exist() -> None:
    """Each row is of one."""
    rows = re.findall(r"^\| `(tidecast [a-z ]*[a-z])", REFERENCE, re.MULTILINE)
    assert set(ALL) == set(rows)


def test_every_exit_code_is_documented() -> None:
    """Those of the constants, of the signals that end a command, and 0."""
    codes = {0, FAILED, MISUSED, SOME_REFUSED, *(128 + number for number in stopping())}
    table = REFERENCE.partition("| exit code |")[2].partition("\n\n")[0]
    assert codes == {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)}


def test_every_setting_is_documented_with_its_default() -> None:
    """The table of settings is complete, and has no other."""
    settings = dict(_settings(Settings))
    missing = [name for name, line in settings.items() if line not in REFERENCE]
    assert [] == missing
    table = REFERENCE.partition("## Settings")[2].partition("\n## ")[0]
    assert set(settings) == set(re.findall(r"^\| `([a-z_.]+)` \|", table, re.MULTILINE))


def test_every_metric_is_documented() -> None:
    """An operator finds each metric's meaning, and no other's."""
    registry: CollectorRegistry = Health().registry
    names = {family.name for family in registry.collect()}
    table = REFERENCE.partition("## Metrics")[2].partition("\n## ")[0]
    documented = {name.removesuffix("_total") for name in re.findall(r"`(tidecast_[a-z_]+)(?:\{[a-z, ]+\})?`", table)}
    assert names == documented


def test_every_check_of_the_doctor_is_documented() -> None:
    """By the name that its findings have."""
    files = [*(ROOT / "tidecast").glob("doctor*/*.py"), ROOT / "tidecast" / "connection" / "redis_errors.py"]
    trees = [ast.parse(file.read_text()) for file in files]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = {ast.literal_eval(call.args[0]) for call in calls if _makes_a_finding(call)}
    table = DOCTOR.partition("## What is checked")[2].partition("\n## ")[0]
    assert names == {
        name for line in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", line)
    }


def _makes_a_finding(call: ast.Call) -> bool:
    makers = ("Finding", "Meaning")  # the latter: the meaning of an error of Redis, which becomes a finding
    return isinstance(call.func, ast.Name) and call.func.id in makers and isinstance(call.args[0], ast.Constant)


def _settings(model: type, prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, field in model.model_fields.items():  # type: ignore[attr-defined] # a pydantic model
        if hasattr(field.annotation, "model_fields"):
            yield from _settings(field.annotation, f"{prefix}{name}.")
            continue
        default = field.default
        value = default.get_secret_value() if hasattr(default, "get_secret_value") else default
        shown = f"`{value}`" if value not in ("", None) else ""
        yield prefix + name, f"| `{prefix}{name}` | {shown} | {field.description} |".replace("|  |", "| |")
