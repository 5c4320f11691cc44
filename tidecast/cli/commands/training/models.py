"""`tidecast models`: inspect the versions in the store, and choose the champion."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tidecast.cli.exit_codes import FAILED
from tidecast.cli.groups import with_groups
from tidecast.cli.options import (
    InstallationOptions,
    JsonOption,
    OneSeriesArgument,
    SeriesArgument,
    StoreOption,
    VersionOption,
)
from tidecast.errors import SettingsError, StoreError, TidecastError
from tidecast.models.bucket.mirror import copy_changes
from tidecast.models.store import ModelStore, Version
from tidecast.outputs import table_of
from tidecast.settings import Settings, load_settings
from tidecast.suggestions import did_you_mean

app = typer.Typer(help="Inspect the models in the store, and choose which one forecasts.", no_args_is_help=True)


@app.command("list")
def list_versions(
    series: OneSeriesArgument = None,
    as_json: JsonOption = False,
    store: StoreOption = None,
) -> None:
    """List all versions with their scores; champions are marked. Exit with 1 if a series cannot be read."""
    models = _store(store)
    _check_known(models, series)
    versions: list[Version] = []
    faults: dict[str, str] = {}
    for name in models.series() if series is None else [series]:
        try:
            versions += models.describe(name)
        except (TidecastError, OSError) as exc:  # the other series are listed all the same
            faults[name] = str(exc)
    if not models.root.exists():
        print(f"note: there is no store at {models.root} yet: `tidecast train` creates it", file=sys.stderr)
    _print_versions(versions, as_json=as_json)
    for name, fault in faults.items():
        print(f"{name}: {fault}", file=sys.stderr)
    if faults:
        raise typer.Exit(FAILED)


def _print_versions(versions: Sequence[Version], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([_row(version) for version in versions], indent=1))
        return
    columns = ("series", "version", "champion", "network", "skill", "MAE", "verdict")
    table = table_of(*columns, texts=("series", "network", "verdict"))
    for version in versions:
        row = _row(version)
        table.add_row(*map(str, (row | {"mae": f"{row['mae']:.4g}"}).values()))
    Console().print(table)


@app.command("show")
def show(
    series: SeriesArgument,
    version: VersionOption = None,
    store: StoreOption = None,
) -> None:
    """Print all details of a version as JSON."""
    number, model = _store(store).load(series, version)
    print(json.dumps({"version": number, **model.header.model_dump(mode="json")}, indent=1))


def promote(
    series: SeriesArgument,
    version: Annotated[int, typer.Argument(help="The number of the version.")],
    *,
    as_json: JsonOption = False,
    installation: InstallationOptions,
) -> None:
    """Make a version the champion, which forecasts from now on."""
    settings = installation.settings()
    models = ModelStore(settings.store)
    _check_known(models, series)
    models.promote(series, version)
    copy_changes(models, settings.bucket.url)
    _record(settings, series, version, back=False)
    _print_champion(series, version, "answers", as_json=as_json)


def rollback(series: SeriesArgument, *, as_json: JsonOption = False, installation: InstallationOptions) -> None:
    """Switch back to the previous champion."""
    settings = installation.settings()
    models = ModelStore(settings.store)
    _check_known(models, series)
    number = models.rollback(series)
    copy_changes(models, settings.bucket.url)
    _record(settings, series, number, back=True)
    _print_champion(series, number, "answers again", as_json=as_json)


app.command("promote")(with_groups(promote))
app.command("rollback")(with_groups(rollback))


@app.command("prune")
def prune(
    keep: Annotated[int, typer.Option(help="Keep this many of the newest versions of each series.", min=1)] = 5,
    series: OneSeriesArgument = None,
    as_json: JsonOption = False,
    store: StoreOption = None,
) -> None:
    """Delete old versions, except champions and the versions to roll back to."""
    models = _store(store)
    _check_known(models, series)
    deleted = {name: models.prune(name, keep) for name in ([series] if series else models.series())}
    print(json.dumps({"deleted": deleted}) if as_json else f"{sum(map(len, deleted.values()))} versions deleted")


@app.command("copy")
def copy(as_json: JsonOption = False, store: StoreOption = None) -> None:
    """Copy new champions to the bucket of the settings, and from it."""
    settings = load_settings(store=store)
    if not settings.bucket.url:
        raise SettingsError("there is no bucket: set bucket.url, such as s3://models/plant")
    changes = copy_changes(ModelStore(settings.store), settings.bucket.url)
    numbers = {"pushed": len(changes.pushed), "pulled": len(changes.pulled)}
    text = f"{numbers['pushed']} series copied to {settings.bucket.url}, {numbers['pulled']} from it"
    print(json.dumps(numbers) if as_json else text)


@app.command("export")
def export(
    series: SeriesArgument,
    *,
    to_mlflow: Annotated[bool, typer.Option("--mlflow", help="Log the version as a run of MLflow.")] = False,
    version: VersionOption = None,
    as_json: JsonOption = False,
    store: StoreOption = None,
) -> None:
    """Log a version, with its settings and scores, to MLflow."""
    if not to_mlflow:
        raise SettingsError("no program is named: add --mlflow")
    from tidecast.tools.mlflow_export import log_to_mlflow

    models = _store(store)
    _check_known(models, series)
    run = log_to_mlflow(series, models, version)
    print(json.dumps({"series": series, "run": run}) if as_json else f"{series} is the run {run} of MLflow")


def _check_known(models: ModelStore, series: str | None) -> None:
    if series is not None and not models.versions(series):
        known = models.series()
        remedy = did_you_mean(series, known) if known else f"{models.root} has no models"
        raise StoreError(f"series {series!r} has no version: {remedy}")


def _record(settings: Settings, series: str, version: int, *, back: bool) -> None:
    """Write an event; if Redis does not answer, the champion has changed all the same."""
    from tidecast.connection.records.manual_acts import record_promotion

    if reason := record_promotion(settings, series, version, back=back, program="command"):
        print(f"note: no event was written: {reason}", file=sys.stderr)


def _print_champion(series: str, version: int, how: str, *, as_json: bool) -> None:
    answer = json.dumps({"series": series, "champion": version})
    print(answer if as_json else f"{series}: version {version} {how}")


def _store(folder: Path | None) -> ModelStore:
    return ModelStore(load_settings(store=folder).store)


def _row(version: Version) -> dict[str, str | int | float | bool]:
    evidence = version.header.evidence
    spec = version.header.spec
    network = f"{'bi-' if spec.bidirectional else ''}lstm {spec.layers}x{spec.units}, window {spec.window}"
    return {
        "series": version.series,
        "version": version.number,
        "champion": version.champion,
        "network": network if version.header.network else "none",
        "skill": round(evidence.skill, 4),
        "mae": evidence.scores["model"].mae,
        "verdict": evidence.verdict,
    }
