"""`tidecast doctor`: check the installation and suggest remedies, or describe one series."""

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from tidecast.cli.completion import series_in_store
from tidecast.cli.exit_codes import FAILED
from tidecast.cli.options import InstallationOptions, JsonOption
from tidecast.doctor.examination import OF_REDIS, OF_THE_STORE, examine
from tidecast.doctor.finding import Finding
from tidecast.errors import SettingsError
from tidecast.schedule_choice import choose_schedule
from tidecast.settings import Settings

COLOURS = {"error": "bold red", "warning": "yellow"}


def doctor(
    series: Annotated[
        str | None,
        typer.Argument(help="Describe this series instead.", autocompletion=series_in_store),
    ] = None,
    *,
    as_json: JsonOption = False,
    installation: InstallationOptions,
) -> None:
    """Check Redis, the workers, the models and the schedule, and suggest remedies."""
    if series is not None:
        _describe(series, installation.settings(), as_json=as_json)
        return
    findings, schedule = _findings(installation)
    healthy = all(finding.severity != "error" for finding in findings)
    if as_json:
        answer = {"healthy": healthy, "schedule": schedule, "findings": [asdict(finding) for finding in findings]}
        print(json.dumps(answer, indent=1))
    else:
        _show(findings, schedule)
    if not healthy:
        raise typer.Exit(FAILED)


def _findings(installation: InstallationOptions) -> tuple[list[Finding], str]:
    """Return the findings, and one line about the retraining schedule: empty if the settings cannot be read."""
    try:
        settings = installation.settings()
    except SettingsError as exc:
        remedy = "correct the file, the variable or the option; docs/reference.md lists all settings"
        return [Finding("settings", "error", str(exc), remedy)], ""
    return examine(settings), str(choose_schedule(settings))


def _show(findings: list[Finding], schedule: str) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for finding in findings:
        title = Text(f"{finding.severity:<9}", COLOURS[finding.severity])
        console.print(title + Text(f"{finding.check}: {finding.problem}", ""))
        console.print(Text(f"{'':9}-> {finding.remedy}"))
    if schedule:
        console.print(Text(f"retraining: {schedule}"))
    errors = sum(finding.severity == "error" for finding in findings)
    checks = len(OF_REDIS) + len(OF_THE_STORE)
    total = (
        f"{_counted(errors, 'error')}, {_counted(len(findings) - errors, 'warning')}"
        if findings
        else f"all is well: {checks} checks"
    )
    console.print(Text(total))


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _describe(series: str, settings: Settings, *, as_json: bool) -> None:
    from tidecast.doctor.series import facts_of, sentences
    from tidecast.online.series.describe_state import describe_state  # imported late: it takes a second

    facts = facts_of(series, settings, describe_state)
    print(json.dumps(facts, indent=1) if as_json else "\n".join(sentences(facts)))
