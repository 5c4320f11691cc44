"""Measure how retraining delays forecasts while readings flow, and how it helps after a change or after corruption.

docs/benchmarks.md describes the measurement.
"""

import argparse
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from benchmarks.harness.detection.changes import KINDS
from benchmarks.harness.detection.splices import BACK, LEAST, SpliceResult, splice
from benchmarks.harness.live import Retraining, retrain_live
from benchmarks.harness.real import VARIABLE, named_data, real_series, spread
from tests.trainer.corruption import AFTER, ALLOWED, Plan, Result
from tests.trainer.corruption import measure as measure_corrupted
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.settings import Settings, TrainSettings

SHARES = (0.05, 0.3)  # of the newest readings: the corrupted ones
SEEDS = (0, 1)  # of the corruption
LEAST_CORRUPTED = 500 + AFTER  # readings that a series to corrupt needs


def options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's own options."""
    live = parser.add_argument_group("beside a flow")
    live.add_argument("--series", type=int, default=500, help="each has a champion and is retrained")
    live.add_argument("--readings", type=int, default=300, help="of each series, recorded before")
    live.add_argument("--rate", type=float, default=2000.0, help="readings a second")
    live.add_argument("--calm", type=float, default=25.0, help="seconds of the flow before the retraining")
    live.add_argument("--seconds", type=float, default=15.0, help="of one flow; they follow each other until its end")
    live.add_argument(
        "--equal", action="store_true", help="the child does not step aside: `retrain.low_priority` is false"
    )
    live.add_argument("--limit", type=float, default=600.0, help="seconds for all flows")
    real = parser.add_argument_group("on real series")
    real.add_argument("--data", type=Path, default=named_data(), help=f"as for accuracy; else {VARIABLE} names it")
    real.add_argument("--spliced", type=int, default=30, help="series that are changed")
    real.add_argument("--newest", type=int, default=2000, help="readings of each at most")
    real.add_argument("--corrupted", type=int, default=10, help="series whose newest readings are corrupted")
    real.add_argument("--runs", type=int, default=100, help="retrainings on corrupted readings at most")
    real.add_argument("--epochs", type=int, default=8, help="of the first champions")
    parser.add_argument("--only", choices=PARTS, help="one of the three parts")


def measure(args: argparse.Namespace) -> dict[str, float]:
    """Measure the three parts, print the results of each, and return the figures."""
    figures: dict[str, float] = {}
    for name, part in PARTS.items():
        if args.only in (None, name):
            if name == "flow" or args.data:
                figures |= part(args)
            else:
                print(f"{name} needs --data or {VARIABLE}: docs/accuracy.md names sources of real series")
    return figures


def _live(args: argparse.Namespace) -> dict[str, float]:
    # Without cohort networks: only the series' own LSTMs are measured.
    variables = {"TRAIN__SHARED_EPOCHS": "0", "RETRAIN__LOW_PRIORITY": str(not args.equal)}
    live = retrain_live(args.series, args.readings, args.rate, args.calm, args.seconds, args.limit, variables)
    _print_live(live)
    return {
        "p99_ratio": live.p99_ratio,
        "lost": float(live.lost),
        "series_per_minute": live.series_per_minute,
        "p99_calm_ms": float(np.percentile(live.calm_ms, 99)),
        "p99_retrain_ms": float(np.percentile(live.during_ms, 99)),
        "retrain_s": live.seconds,
    }


def _print_live(live: Retraining) -> None:
    print("\n|  | forecasts | p50 ms | p95 ms | p99 ms | worst |\n|---|---:|---:|---:|---:|---:|")
    for name, ms in (("calm", live.calm_ms), ("while retraining", live.during_ms)):
        cells = " | ".join(f"{np.percentile(ms, share):.1f}" for share in (50, 95, 99, 100))
        print(f"| {name} | {len(ms):,} | {cells} |")
    print(
        f"{live.series} series in {live.seconds:.0f} s, {live.promoted} promoted; the child took "
        f"{live.child_cpu_s:.0f} s of processor time and {live.child_mb:,.0f} MB",
        flush=True,
    )


def _drift(args: argparse.Namespace) -> dict[str, float]:
    histories = spread(real_series(args.data, LEAST, args.newest), args.spliced)
    spliced = splice(histories, _settings(args))
    _print_drift(spliced)
    ratios = np.array([(recovery.ratio, recovery.without) for recovery in spliced.recoveries])
    shares = (ratios <= BACK).mean(axis=0).tolist()
    medians = np.median(ratios, axis=0).tolist()
    return {
        "drift_found_share": spliced.detected_share,
        "drift_delay_median": spliced.delay_median,
        "false_alarms_per_5000": spliced.false_alarms_per_5000,
        "error_back_share": shares[0],
        "error_back_ratio": medians[0],
        "error_back_share_not_retrained": shares[1],
        "error_back_ratio_not_retrained": medians[1],
    }


def _print_drift(result: SpliceResult) -> None:
    print(f"\n{result.series} real series, {result.champions} of them with a champion: ", end="")
    print(f"{result.false_alarms} false alarms in {result.unchanged:,} readings")
    print("| change | detected | median delay | error retrained / unchanged | within 10 % | not retrained | promoted |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for kind in KINDS:
        delays = [detection.delay for detection in result.detections if detection.kind == kind]
        detected = [delay for delay in delays if delay is not None]
        back = [recovery for recovery in result.recoveries if recovery.kind == kind]
        if delays and back:
            ratios = np.array([(recovery.ratio, recovery.without) for recovery in back])
            cells = (
                f"{len(detected)} of {len(delays)}",
                f"{np.median(detected):.0f}" if detected else "-",
                f"{np.median(ratios[:, 0]):.3f}",
                f"{(ratios[:, 0] <= BACK).sum()} of {len(back)}",
                f"{np.median(ratios[:, 1]):.3f}, {(ratios[:, 1] <= BACK).sum()} of {len(back)}",
                f"{sum(recovery.status == 'trained' for recovery in back)}",
            )
            print(f"| {kind} | {' | '.join(cells)} |", flush=True)


def _corruption(args: argparse.Namespace) -> dict[str, float]:
    histories = spread(real_series(args.data, LEAST_CORRUPTED, 2 * LEAST_CORRUPTED), args.corrupted)
    with tempfile.TemporaryDirectory() as folder:
        plan = Plan(shares=SHARES, afters=("ends",), seeds=SEEDS, most=args.runs)
        results = measure_corrupted(histories, _settings(args), ModelStore(Path(folder)), plan, Spec())
    _print_corruption(results)
    trained = [result.ratio for result in results if result.status == "trained"]
    return {
        "worse_than_naive_max": max(result.ratio for result in results) - 1,
        "worse_than_naive_trained_max": max(trained, default=1.0) - 1,
        "let_through": float(sum(ratio > ALLOWED for ratio in trained)),
        "corrupted_runs": float(len(results)),
    }


def _print_corruption(results: list[Result]) -> None:
    """Print a line for each kind of corruption.

    A champion that stays answers as before, so its errors are not due to the retraining.
    """
    kinds = Counter(map(_kind, results))
    print(f"\n{len(results)} retrainings on corrupted readings, then clean ones; the worst 200 beside the last value")
    print("| corruption | runs | promoted | worst | worst promoted | the same, had it not been | over 5 %, promoted |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for kind, runs in sorted(kinds.items()):
        mine = [result for result in results if _kind(result) == kind]
        trained = [result for result in mine if result.status == "trained"]
        worst = max(trained, key=lambda result: result.ratio, default=None)
        cells = f"{worst.ratio:.3f} | {worst.without:.3f}" if worst else "- | -"
        over = sum(result.ratio > ALLOWED for result in trained)
        print(f"| {kind} | {runs} | {len(trained)} | {max(result.ratio for result in mine):.3f} | {cells} | {over} |")
    for result in sorted(results, key=lambda result: -result.ratio)[:5]:
        cells = f"{result.ratio:.3f} ({result.without:.3f} without retraining)"
        print(f"  {cells} {result.status}: {result.name}", flush=True)


def _kind(result: Result) -> str:
    return result.name.rpartition("|")[2].split()[0]


def _settings(args: argparse.Namespace) -> Settings:
    """Return the defaults with other epochs and without cohort networks, which take longer than all the rest."""
    return Settings(train=TrainSettings(epochs=args.epochs, shared_epochs=0))


PARTS = {"flow": _live, "drift": _drift, "corruption": _corruption}
