"""The `tidecast` command: parse, one call. The programs are imported only when they are asked for."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from redis.exceptions import RedisError
from rich.console import Console
from rich.table import Table

from tidecast import __version__
from tidecast.errors import SettingsError, TidecastError
from tidecast.settings import Settings, load_settings

if TYPE_CHECKING:
    from tidecast.store import Version

FAILED, MISUSED, SOME_REFUSED = 1, 2, 3  # exit codes; 0 is success

app = typer.Typer(
    help="Forecast the next reading of thousands of series, from Redis streams and back.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
models_app = typer.Typer(help="Look at the models in the store, and choose which one answers.", no_args_is_help=True)
app.add_typer(models_app, name="models")

RedisOption = Annotated[str | None, typer.Option("--redis", help="Where Redis listens, as redis://host:port/db.")]
NamespaceOption = Annotated[str | None, typer.Option(help="The prefix of every key.")]
StoreOption = Annotated[Path | None, typer.Option(help="The directory of the models.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.callback(invoke_without_command=True)
def about(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Forecast the next reading of thousands of series, from Redis streams and back."""
    if version:
        print(__version__)
        raise typer.Exit


@app.command()
def worker(
    burst: Annotated[bool, typer.Option("--burst", help="End when every reading is answered.")] = False,
    dry_run: Annotated[bool, typer.Option("--check", help="Check settings and store, and do nothing.")] = False,
    health_port: Annotated[int | None, typer.Option(help="Serve metrics and probes here; 0 picks a port.")] = None,
    redis: RedisOption = None,
    namespace: NamespaceOption = None,
    store: StoreOption = None,
) -> None:
    """Answer every reading with a forecast, until told to stop."""
    from worker import program

    settings = load_settings(redis_url=redis, namespace=namespace, store=store)
    if health_port is not None:
        settings = settings.model_copy(
            update={"worker": settings.worker.model_copy(update={"health_port": health_port})}
        )
    if dry_run:
        print(f"settings are valid; {program.check(settings)} champions in {settings.store}")
    else:
        program.run(settings, burst=burst)


@app.command()
def push(
    file: Annotated[str, typer.Argument(help="A CSV or CSV.gz file; - reads standard input.")],
    speed: Annotated[str | None, typer.Option(help="Replay by the rows' times, so many times faster: 60x.")] = None,
    redis: RedisOption = None,
    namespace: NamespaceOption = None,
) -> None:
    """Push a file's readings, as fast as possible or at a speed."""
    from tidecast import replay
    from tidecast.client import Client

    factor = replay.parse_speed(speed) if speed else None
    with Client(redis, namespace=namespace) as client:
        pushed = replay.push_file(client, file, factor)
    print(f"{pushed} readings pushed")


@app.command()
def tail(
    since: Annotated[str, typer.Option(help="Start after this entry id; 0 from the oldest, $ with the next.")] = "$",
    count: Annotated[int | None, typer.Option("-n", help="End after so many.")] = None,
    as_json: JsonOption = False,
    redis: RedisOption = None,
    namespace: NamespaceOption = None,
) -> None:
    """Follow the forecasts as they are made."""
    from tidecast.client import Client
    from tidecast.tail import follow

    with Client(redis, namespace=namespace) as client:
        follow(client.forecasts(since), count, as_json=as_json)


@app.command()
def train(
    files: Annotated[list[str], typer.Argument(help="CSV, CSV.gz or Parquet files or directories; - reads stdin.")],
    target: Annotated[str | None, typer.Option(help="The column to forecast.")] = None,
    features: Annotated[
        str | None, typer.Option(help="Further columns to learn from, with commas; all: every.")
    ] = None,
    window: Annotated[int | None, typer.Option(help="How many readings the network sees.")] = None,
    units: Annotated[int | None, typer.Option(help="The width of each layer.")] = None,
    layers: Annotated[int | None, typer.Option(help="How many layers are stacked, 1 to 4.")] = None,
    bidirectional: Annotated[bool, typer.Option("--bidirectional", help="Read windows both ways.")] = False,
    activation: Annotated[str | None, typer.Option(help="tanh or relu.")] = None,
    epochs: Annotated[int | None, typer.Option(help="How often each example is seen at most.")] = None,
    season: Annotated[
        int | None, typer.Option(help="The season length in rows; by default found from the data.")
    ] = None,
    time_zone: Annotated[str | None, typer.Option(help="The zone of times without an offset; by default UTC.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Train again what was trained on this history.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and check the history, train nothing.")] = False,
    as_json: JsonOption = False,
    store: StoreOption = None,
) -> None:
    """Train a model for each series of a history, judge it and publish it."""
    from trainer import program

    shape = {
        "window": window,
        "units": units,
        "layers": layers,
        "bidirectional": bidirectional or None,
        "activation": activation,
    }
    settings = _settings(store)
    if epochs is not None:
        settings = settings.model_copy(update={"train": settings.train.model_copy(update={"epochs": epochs})})
    all_trained = program.run(
        program.Job(
            sources=tuple(files),
            target=target,
            features=tuple(features.split(",")) if features else (),
            time_zone=time_zone,
            season=season,
            shape={name: value for name, value in shape.items() if value is not None},
            force=force,
            dry_run=dry_run,
        ),
        settings,
        as_json=as_json,
    )
    if not all_trained:
        raise typer.Exit(SOME_REFUSED)


@app.command()
def demo(
    as_json: JsonOption = False,
    redis: Annotated[str | None, typer.Option(help="Use this Redis instead of an embedded one.")] = None,
    out: Annotated[Path, typer.Option(help="Where the picture goes.")] = Path("out/demo"),
) -> None:
    """Train on real series, replay the rest through a real worker, and watch."""
    from tidecast.demo import run

    run(redis_url=redis, out=out, as_json=as_json)


@models_app.command("list")
def models_list(
    series: Annotated[str | None, typer.Argument(help="Only this series.")] = None,
    as_json: JsonOption = False,
    store: StoreOption = None,
) -> None:
    """List every version, with its evidence; the champions are marked."""
    from tidecast.store import ModelStore

    found = list(ModelStore(_settings(store).store).describe(series))
    if as_json:
        print(json.dumps([_row(v) for v in found], indent=1))
        return
    table = Table("series", "version", "champion", "network", "skill", "MAE", "verdict")
    for version in found:
        row = _row(version)
        table.add_row(*(str(value) for value in row.values()))
    Console().print(table)


@models_app.command("show")
def models_show(
    series: str,
    version: Annotated[int | None, typer.Option(help="By default the champion.")] = None,
    store: StoreOption = None,
) -> None:
    """Print all that is known of a version, as JSON."""
    from tidecast.store import ModelStore

    number, model = ModelStore(_settings(store).store).load(series, version)
    print(json.dumps({"version": number, **model.header.model_dump(mode="json")}, indent=1))


def main() -> None:
    """Run the command; an error that is the user's to mend is one sentence, not a traceback."""
    try:
        app()
    except SettingsError as exc:
        _fail(str(exc), MISUSED)
    except TidecastError as exc:
        _fail(str(exc), FAILED)
    except RedisError as exc:
        _fail(f"Redis: {exc}: start it, or name another with --redis", FAILED)
    except KeyboardInterrupt:
        sys.exit(130)


def _settings(store: Path | None) -> Settings:
    return load_settings(store=store)


def _row(version: "Version") -> dict[str, str | int | float | bool]:
    header, evidence = version.header, version.header.evidence
    spec = header.spec
    network = f"{'bi-' if spec.bidirectional else ''}lstm {spec.layers}x{spec.units}, window {spec.window}"
    return {
        "series": version.series,
        "version": version.number,
        "champion": version.champion,
        "network": network,
        "skill": round(evidence.skill, 4),
        "mae": evidence.scores["model"].mae,
        "verdict": evidence.verdict,
    }


def _fail(sentence: str, code: int) -> None:
    print(f"tidecast: {sentence}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
