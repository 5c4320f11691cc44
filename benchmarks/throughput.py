"""Measure forecasts per second of a worker, over those of an echo on Redis and of a typical tutorial's loop.

Each configuration has its own Redis, store and worker, with the yardsticks beside it. A round measures one after the
other, and a ratio is the median of the rounds' ratios. docs/benchmarks.md describes the measurement.
"""

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import cast

from benchmarks.harness.contestants import Contestant, Pace, echoing, serving, tutoring
from benchmarks.harness.models import publish_models
from benchmarks.harness.readings import Readings
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.models.store import ModelStore
from tidecast.online.series.state import decode_all
from tidecast.settings import load_settings
from tidecast.tools.sizing.calibration import calibrate
from tidecast.tools.sizing.coefficients import OWN, ModelKind
from tidecast.tools.sizing.plan import Workload, capacity_of
from tidecast.tools.sizing.trial_models import name_of

AOF = ("--appendonly", "yes", "--appendfsync", "everysec")
SWEEPS = 3  # readings of each series before the first round: after them a forecast has all its fields
TUTORIAL_READINGS = 20  # in a round: about a second
LEAST = 1000  # readings in a round: one batch


@dataclass(frozen=True, slots=True)
class Configuration:
    """A line of the table: the number of series, the panel and the options of Redis."""

    name: str
    model: ModelKind
    many: bool = False  # the number of series is --many, else --series
    redis: tuple[str, ...] = ()
    tutorial: bool = False  # whether the tutorial is measured too
    sized: bool = False  # whether the capacity that `tidecast size` computes is compared


CONFIGURATIONS = {
    configuration.name: configuration
    for configuration in (
        Configuration("own", "own", tutorial=True, sized=True),
        Configuration("aof", "own", redis=AOF),
        Configuration("10k", "own", many=True),
        Configuration("default", "both", sized=True),
        Configuration("none", "none", sized=True),
    )
}
FIGURES = {
    "own": "ratio_to_echo",
    "aof": "ratio_to_echo_aof",
    "10k": "ratio_to_echo_10k",
    "default": "ratio_to_echo_default",
    "none": "ratio_to_echo_without_network",
}
PROCESSOR_TIMES = {"own": "worker_us", "none": "worker_us_without_network"}


@dataclass(frozen=True, slots=True)
class Rounds:
    """The measurements of a configuration, round by round."""

    worker: list[Pace]
    echo: list[Pace]
    tutorial: list[Pace]  # empty if it was not measured
    sized: list[float]  # readings a second of one worker by `tidecast size`; empty if they were not computed
    state_bytes: int  # of one series, in each commit that changes it

    @property
    def ratios(self) -> list[float]:
        """Return the worker's pace over the echo's, round by round."""
        return _ratios(self.worker, self.echo)

    @property
    def size_error(self) -> float:
        """Return the error of `tidecast size`, as a share of the measured pace."""
        return abs(median(sized / pace.per_s for sized, pace in zip(self.sized, self.worker, strict=True)) - 1)


def options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's own options."""
    parser.add_argument("--series", type=int, default=1000)
    parser.add_argument("--many", type=int, default=10_000, help="series of the configuration 10k")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="about how long one contestant works in a round")
    parser.add_argument("--only", type=_chosen, default=tuple(CONFIGURATIONS), help="configurations, with commas")
    parser.add_argument("--without-keras", action="store_true", help="do not measure the loop of a tutorial")


def measure(args: argparse.Namespace) -> dict[str, float]:
    """Measure each configuration, print its line, and return the figures."""
    with_keras = not args.without_keras and find_spec("tensorflow") is not None
    if not with_keras:
        print("the loop of a tutorial is not measured" + ("" if args.without_keras else ": install the extra train"))
    print(f"{'':10}{'series':>7}{'worker/s':>10}{'echo/s':>10}{'ratio':>8}  {'from - to':15}", end="")
    print(f"{'worker us':>10}{'Redis us':>9}{'echo us':>9}{'state bytes':>13}{'size/s':>10}")
    figures: dict[str, float] = {}
    size_errors: list[float] = []
    for name in args.only:
        series = _series(CONFIGURATIONS[name], args)
        rounds = _measure(CONFIGURATIONS[name], args, with_keras=with_keras)
        print(f"{name:10}{series:7}{_line(rounds)}", flush=True)
        figures |= _figures(name, rounds)
        size_errors += [rounds.size_error] if rounds.sized else []
    return figures | ({"size_error": max(size_errors)} if size_errors else {})


def _measure(configuration: Configuration, args: argparse.Namespace, *, with_keras: bool) -> Rounds:
    series = _series(configuration, args)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if configuration.model != "none":
            publish_models(ModelStore(folder / "models"), series, default_panel=configuration.model == "both")
        server = stack.enter_context(EmbeddedRedis(options=configuration.redis))
        worker = stack.enter_context(serving(server, folder, Readings(series)))
        worker.warm_up(SWEEPS * series)
        echo = stack.enter_context(echoing(worker, server))
        tutorial = None
        if configuration.tutorial and with_keras:
            tutorial = stack.enter_context(tutoring(worker, server))
        sizes = [_size(contestant, args.seconds) for contestant in (worker, echo)]
        rounds = Rounds([], [], [], [], _state_bytes(worker))
        for _ in range(args.rounds):
            rounds.worker.append(worker.pace(sizes[0]))
            rounds.echo.append(echo.pace(sizes[1]))
            if tutorial:
                rounds.tutorial.append(tutorial.pace(TUTORIAL_READINGS))
            if configuration.sized:
                rounds.sized.append(_sized(configuration.model, server.url, series))
    return rounds


def _sized(model: ModelKind, url: str, series: int) -> float:
    """Return the readings a second of one worker that `tidecast size` computes from coefficients measured now."""
    settings = load_settings()
    return capacity_of(calibrate(settings, url, series=series), Workload(model, OWN.units, settings)).of_workers(1)


def _state_bytes(worker: Contestant) -> int:
    """Return the bytes that a commit writes for one new row of the first series."""
    fields = cast("dict[bytes, bytes]", worker.redis.hgetall(worker.keys.state))
    state = decode_all({name.decode(): raw for name, raw in fields.items()})[name_of(0)]
    state.window.unsaved = 1
    return sum(map(len, state.changes(name_of(0)).values()))


def _size(contestant: Contestant, seconds: float) -> int:
    """Return the number of readings that takes a contestant this long, estimated by rounds that do not count."""
    first = contestant.pace(LEAST).per_s
    return max(LEAST, round(seconds * contestant.pace(max(LEAST, round(seconds * first / 2))).per_s))


def _line(rounds: Rounds) -> str:
    worker = _medians(rounds.worker)
    echo = _medians(rounds.echo)
    ratios = rounds.ratios
    spread = f"{min(ratios):.3f} - {max(ratios):.3f}"
    measured = f"{worker.per_s:10,.0f}{echo.per_s:10,.0f}{median(ratios):8.3f}  {spread:15}"
    sized = f"{median(rounds.sized):10,.0f}" if rounds.sized else ""
    return f"{measured}{worker.cpu_us:10.1f}{worker.redis_us:9.1f}{echo.cpu_us:9.1f}{rounds.state_bytes:13,}{sized}"


def _figures(name: str, rounds: Rounds) -> dict[str, float]:
    figures = {FIGURES[name]: median(rounds.ratios)}
    worker = _medians(rounds.worker)
    if name == "own":
        figures |= {"readings_per_s": worker.per_s, "echo_per_s": _medians(rounds.echo).per_s}
    if name in PROCESSOR_TIMES:
        figures[PROCESSOR_TIMES[name]] = worker.cpu_us
    if rounds.tutorial:
        figures["ratio_to_keras"] = median(_ratios(rounds.worker, rounds.tutorial))
    return figures


def _ratios(ours: list[Pace], theirs: list[Pace]) -> list[float]:
    return [mine.per_s / other.per_s for mine, other in zip(ours, theirs, strict=True)]


def _medians(paces: list[Pace]) -> Pace:
    return Pace(*map(median, zip(*paces, strict=True)))


def _series(configuration: Configuration, args: argparse.Namespace) -> int:
    series: int = args.many if configuration.many else args.series
    return series


def _chosen(listed: str) -> tuple[str, ...]:
    return tuple(_known(listed.split(",")))


def _known(names: list[str]) -> Iterator[str]:
    for name in names:
        if name not in CONFIGURATIONS:
            raise argparse.ArgumentTypeError(f"{name!r} does not exist: use one of {', '.join(CONFIGURATIONS)}")
        yield name
