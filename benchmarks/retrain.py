"""Retraining while readings flow: what the forecasts lose by it; and how it helps after a change or after corruption.

docs/benchmarks.md says what is measured.
"""

import argparse

import numpy as np

from benchmarks._live import Retraining, retrain_live


def options(parser: argparse.ArgumentParser) -> None:
    """Say how much flows beside the retraining."""
    live = parser.add_argument_group("beside a flow")
    live.add_argument("--series", type=int, default=500, help="each has a champion that is trained anew")
    live.add_argument("--readings", type=int, default=300, help="of each series, recorded before")
    live.add_argument("--rate", type=float, default=2000.0, help="readings a second")
    live.add_argument("--calm", type=float, default=25.0, help="seconds from the worker's start to the retraining")
    live.add_argument("--seconds", type=float, default=15.0, help="of one flow; they follow each other until its end")
    live.add_argument("--limit", type=float, default=300.0, help="seconds for all flows")


def measure(args: argparse.Namespace) -> dict[str, float]:
    """Measure the three parts, print what was found in each, and return the figures."""
    return _live(args)


def _live(args: argparse.Namespace) -> dict[str, float]:
    # No cohort's network: the series' own LSTMs are what is measured.
    variables = {"TRAIN__SHARED_EPOCHS": "0"}
    found = retrain_live(args.series, args.readings, args.rate, args.calm, args.seconds, args.limit, variables)
    _tell(found)
    return {
        "p99_ratio": found.p99_ratio,
        "lost": float(found.lost),
        "series_per_minute": found.series_per_minute,
        "p99_calm_ms": float(np.percentile(found.calm_ms, 99)),
        "p99_retrain_ms": float(np.percentile(found.during_ms, 99)),
        "retrain_s": found.seconds,
    }


def _tell(found: Retraining) -> None:
    print("\n|  | forecasts | p50 ms | p95 ms | p99 ms | worst |\n|---|---:|---:|---:|---:|---:|")
    for name, ms in (("calm", found.calm_ms), ("while retraining", found.during_ms)):
        cells = " | ".join(f"{np.percentile(ms, share):.1f}" for share in (50, 95, 99, 100))
        print(f"| {name} | {len(ms):,} | {cells} |")
    print(
        f"{found.series} series in {found.seconds:.0f} s, {found.promoted} promoted; the child took "
        f"{found.child_cpu_s:.0f} s of processor time and {found.child_mb:,.0f} MB",
        flush=True,
    )
