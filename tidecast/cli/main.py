"""The `tidecast` command: parse the options and make one call. Programs are imported only when needed."""

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from redis.exceptions import RedisError

from tidecast import __version__
from tidecast.cli import dashboard, doctor, models, push, replay, retrain, status
from tidecast.cli.completion import series_in_store
from tidecast.cli.exit_codes import FAILED, INTERRUPTED, MISUSED, SOME_REFUSED
from tidecast.cli.options import (
    FeaturesOption,
    FilesArgument,
    FollowOption,
    HistoryOption,
    JsonOption,
    NamespaceOption,
    NonNegativeOption,
    OutOption,
    PresetOption,
    RedisOption,
    SeriesArgument,
    SeriesColumnOption,
    SinceOption,
    StoreOption,
    TargetOption,
    TimeZoneOption,
    VersionOption,
    ago_ms,
    bounded,
    names,
    since_id,
    with_setting,
)
from tidecast.cli.standard_streams import open_standard_streams
from tidecast.cli.usage import is_usage_error, usage_sentence
from tidecast.errors import SettingsError, TidecastError
from tidecast.outputs import check_folder
from tidecast.progress import progress
from tidecast.settings import load_settings
from tidecast.unset import without_empty_options

TRAINER_PACKAGES = ("keras", "keras_tuner", "matplotlib", "pandas", "psutil", "pyarrow", "tensorflow")

app = typer.Typer(
    help="Forecast the next reading of thousands of series, from Redis streams and back.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(models.app, name="models")
app.command("retrain")(retrain.retrain)
app.command("events")(retrain.events)
app.command("doctor")(doctor.doctor)
app.command("status")(status.status)
app.command("push")(push.push)
app.command("replay")(replay.replay)
app.command("dashboard")(dashboard.dashboard)


@app.callback(invoke_without_command=True)
def about(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Forecast the next reading of thousands of series, from Redis streams and back."""
    if version:
        print(__version__)
        raise typer.Exit


@app.command()
def worker(
    burst: Annotated[bool, typer.Option("--burst", help="Exit when every reading is answered.")] = False,
    dry_run: Annotated[bool, typer.Option("--check", help="Only check settings and store.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result of --check as JSON.")] = False,
    health_port: Annotated[int | None, typer.Option(help="Serve metrics and probes here; 0 picks a port.")] = None,
    non_negative: NonNegativeOption = False,
    redis: RedisOption = None,
    namespace: NamespaceOption = None,
    store: StoreOption = None,
) -> None:
    """Answer every reading with a forecast (Ctrl+C to stop)."""
    from worker import main as program

    settings = load_settings(redis_url=redis, namespace=namespace, store=store)
    settings = bounded(settings, non_negative=non_negative)
    settings = with_setting(settings, "worker", "health_port", health_port)
    if dry_run:
        answer = {"champions": program.check(settings), "store": str(settings.store)}
        sentence = f"settings are valid; {answer['champions']} champions in {settings.store}"
        print(json.dumps(answer) if as_json else sentence)
    elif as_json:
        raise SettingsError("--json is of --check: a worker prints nothing, its log is JSON")
    else:
        program.run(settings, burst=burst)


@app.command()
def tail(
    since: FollowOption = "$",
    count: Annotated[int | None, typer.Option("-n", help="Exit after this many.", min=1)] = None,
    as_json: JsonOption = False,
    redis: RedisOption = None,
    namespace: NamespaceOption = None,
) -> None:
    """Print new forecasts as they are made (Ctrl+C to stop)."""
    from tidecast.client import Client
    from tidecast.tools.tail import follow

    after = since_id(since)
    with Client(redis, namespace=namespace) as client:
        follow(client.forecasts(after), count, as_json=as_json)


@app.command()
def archive(
    older_than: Annotated[
        str, typer.Option(help="Move readings that arrived longer ago than this, such as 7d, 12h or 90m.")
    ] = "7d",
    history: Annotated[Path, typer.Option(help="The directory of the archive.")] = Path("history"),
    as_json: JsonOption = False,
    redis: RedisOption = None,
    namespace: NamespaceOption = None,
) -> None:
    """Move answered readings from Redis into Parquet files, which training can read too."""
    from trainer.data.archive import move

    settings = load_settings(redis_url=redis, namespace=namespace)
    before_ms = ago_ms(older_than, "--older-than")
    check_folder("--history", history)
    with progress("archiving", "readings") as tell:
        moved = move(settings, history, before_ms, tell)
    answer = {"archived": moved, "history": str(history)}
    print(json.dumps(answer) if as_json else f"{moved} readings archived in {history}")


@app.command()
def train(
    files: Annotated[
        list[str] | None,
        typer.Argument(help="CSV, CSV.gz or Parquet files or directories; - reads standard input."),
    ] = None,
    recorded: Annotated[bool, typer.Option("--recorded", help="Train on the readings that workers answered.")] = False,
    since: SinceOption = None,
    history: HistoryOption = None,
    target: TargetOption = None,
    features: FeaturesOption = None,
    series_column: SeriesColumnOption = None,
    preset: PresetOption = None,
    window: Annotated[int | None, typer.Option(help="The number of readings in the network's window.")] = None,
    units: Annotated[int | None, typer.Option(help="The width of each layer.")] = None,
    layers: Annotated[int | None, typer.Option(help="The number of stacked layers, 1 to 4.")] = None,
    bidirectional: Annotated[bool, typer.Option("--bidirectional", help="Read windows both ways.")] = False,
    activation: Annotated[str | None, typer.Option(help="tanh or relu.")] = None,
    epochs: Annotated[int | None, typer.Option(help="The largest number of passes over the data.")] = None,
    season: Annotated[
        int | None, typer.Option(help="The season length in rows; by default detected in the data.")
    ] = None,
    time_zone: TimeZoneOption = None,
    force: Annotated[
        bool, typer.Option("--force", help="Train series again that were trained on this history.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only read and check the history.")] = False,
    as_json: JsonOption = False,
    redis: RedisOption = None,
    namespace: NamespaceOption = None,
    store: StoreOption = None,
) -> None:
    """Train a model for each series of a history, evaluate it and publish it."""
    from tidecast.models.presets import preset as fields_of

    _check_sources(files, recorded=recorded, narrowed=bool(since or history))
    _check_archive(history)
    since_ms = ago_ms(since, "--since") if since else None
    from trainer import main as program  # imported late: it takes seconds

    named = {
        "window": window,
        "units": units,
        "layers": layers,
        "bidirectional": bidirectional or None,
        "activation": activation,
    }
    shape = fields_of(preset) | {name: value for name, value in named.items() if value is not None}
    settings = load_settings(redis_url=redis, namespace=namespace, store=store)
    settings = with_setting(settings, "train", "epochs", epochs)
    all_trained = program.run(
        program.TrainJob(
            sources=tuple(files or ()),
            recorded=program.Recorded(since_ms, history) if recorded else None,
            target=target,
            features=names(features),
            series_column=series_column,
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


def _check_sources(files: list[str] | None, *, recorded: bool, narrowed: bool) -> None:
    if bool(files) == recorded:
        raise SettingsError(
            f"{'both files and' if recorded else 'neither files nor'} --recorded: name files to train on them, or "
            "--recorded to train on the readings that workers answered"
        )
    if narrowed and not recorded:
        raise SettingsError("--since and --history say what to read of the recorded readings: add --recorded")


def _check_archive(history: Path | None) -> None:
    if history is not None and not history.is_dir():
        raise SettingsError(f"--history is {history}, which is not a folder: name that of `tidecast archive`")


@app.command()
def tune(
    files: FilesArgument,
    series: Annotated[
        str | None, typer.Option(help="Tune on this series; by default the longest.", autocompletion=series_in_store)
    ] = None,
    target: TargetOption = None,
    features: FeaturesOption = None,
    series_column: SeriesColumnOption = None,
    time_zone: TimeZoneOption = None,
    epochs: Annotated[int, typer.Option(help="The number of epochs of the longest trials.", min=2)] = 30,
    as_json: JsonOption = False,
    store: StoreOption = None,
) -> None:
    """Search for the network shape that learns a series best; `train` then uses it."""
    from trainer.tuning import main as search

    settings = load_settings(store=store)
    sources = search.Sources(tuple(files), target, names(features), series_column, time_zone)
    search.run(sources, series, epochs, settings, as_json=as_json)


@app.command()
def backtest(
    data: Annotated[list[str], typer.Option(help="A file or directory, as for train; can be repeated.")],
    out: Annotated[Path, typer.Option(help="The CSV file of the forecasts.")],
    test_size: Annotated[
        float, typer.Option(help="The share of the newest readings to forecast.", min=0, max=0.9)
    ] = 0.2,
    target: TargetOption = None,
    features: FeaturesOption = None,
    series_column: SeriesColumnOption = None,
    preset: PresetOption = None,
    non_negative: NonNegativeOption = False,
    pictures: Annotated[Path | None, typer.Option(help="The folder for a picture of each series.")] = None,
    time_zone: TimeZoneOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train on the first part of a history, and forecast the rest with the worker's code."""
    from tidecast.tools.backtest import BacktestJob, run

    job = BacktestJob(tuple(data), out, test_size, target, names(features), time_zone, preset, pictures, series_column)
    if not run(job, bounded(load_settings(), non_negative=non_negative), as_json=as_json):
        raise typer.Exit(SOME_REFUSED)


@app.command()
def report(
    series: SeriesArgument,
    files: FilesArgument,
    target: TargetOption = None,
    features: FeaturesOption = None,
    series_column: SeriesColumnOption = None,
    time_zone: TimeZoneOption = None,
    version: VersionOption = None,
    out: OutOption = Path("out/reports"),
    as_json: JsonOption = False,
    store: StoreOption = None,
) -> None:
    """Write a page about a model version: training, forecasts, errors, and why it was published."""
    from trainer.reports import report
    from trainer.reports.target import Request

    request = Request(series, tuple(files), target, names(features), time_zone, version, series_column)
    page = report.run(request, load_settings(store=store), out)
    print(json.dumps({"page": str(page)}) if as_json else page)


@app.command()
def explain(
    series: SeriesArgument,
    files: FilesArgument,
    target: TargetOption = None,
    features: FeaturesOption = None,
    series_column: SeriesColumnOption = None,
    time_zone: TimeZoneOption = None,
    version: VersionOption = None,
    out: OutOption = Path("out/reports"),
    as_json: JsonOption = False,
    store: StoreOption = None,
) -> None:
    """Show a model's gates and cell state over the newest window, as a table and a picture."""
    from trainer.reports import explain
    from trainer.reports.target import Request

    request = Request(series, tuple(files), target, names(features), time_zone, version, series_column)
    explain.run(request, load_settings(store=store), out, as_json=as_json)


@app.command()
def demo(
    as_json: JsonOption = False,
    redis: Annotated[str | None, typer.Option(help="Use this Redis instead of an embedded one.")] = None,
    out: Annotated[Path, typer.Option(help="The folder for the picture.")] = Path("out/demo"),
    no_dashboard: Annotated[bool, typer.Option("--no-dashboard", help="Do not serve the web page.")] = False,
) -> None:
    """Train on real series, and replay the rest through a real worker while you watch."""
    from tidecast.tools.demo import run

    run(redis_url=redis, out=out, as_json=as_json, dashboard=not no_dashboard)


def main() -> None:
    """Run the command; print an error that the user can correct as one sentence, not as a traceback."""
    open_standard_streams()
    try:
        sys.exit(_run())
    except SettingsError as exc:
        _fail(str(exc), MISUSED)
    except TidecastError as exc:
        _fail(str(exc), FAILED)
    except ModuleNotFoundError as exc:
        if exc.name not in TRAINER_PACKAGES:
            raise
        _fail(f"{exc.name} is not installed: pip install 'tidecast[train]'", FAILED)
    except RedisError as exc:
        from tidecast.connection import explain

        _fail(f"Redis: {explain(exc, 'start it, or name another with --redis')}", FAILED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # the reader of our output has closed the pipe, as in `tidecast tail | head`
        sys.stdout = None  # otherwise Python would flush into the broken pipe and print an error
        sys.exit(0)
    except UnicodeEncodeError as exc:  # only the command line can contain text that is not Unicode
        _fail(f"{exc.object!r} is not UTF-8: write it in UTF-8", MISUSED)
    except OSError as exc:  # a file or folder, or standard output on a full disk
        where = f"{exc.filename}: " if exc.filename else ""
        _fail(f"{where}{exc.strerror or exc}: make that possible, and repeat", FAILED)


def _run() -> int:
    """Run the command and return its exit code."""
    words = _words()
    try:
        code = app(args=words, prog_name="tidecast", standalone_mode=False)
    except Exception as exc:
        if not is_usage_error(exc):
            raise
        if type(exc).__name__ == "NoArgsIsHelpError":  # the help was printed
            return MISUSED
        _fail(usage_sentence(exc, words), MISUSED)
    sys.stdout.flush()  # raises now if the output cannot be written
    return code if isinstance(code, int) else 0


def _words() -> list[str]:
    """Return the words of the command line without empty options, such as `--namespace "${NAMESPACE:-}"`."""
    words = sys.argv[1:]
    if any(word == "" or word.endswith("=") for word in words):
        return without_empty_options(typer.main.get_command(app), words)
    return words


def _fail(sentence: str, code: int) -> NoReturn:
    """Exit with a sentence on standard error; if it cannot be written, only with the exit code."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    with suppress(OSError, ValueError):
        print(f"tidecast: {sentence}", file=sys.stderr)
    _abandon_unwritable()
    sys.exit(code)


def _abandon_unwritable() -> None:
    """Drop streams that cannot be written: at exit Python would try again, and change the exit code."""
    for name in ("stdout", "stderr"):
        try:
            getattr(sys, name).flush()
        except (OSError, ValueError):
            setattr(sys, name, None)
