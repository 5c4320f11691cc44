"""Score the anomalies that a worker reports: on labelled series, on faults spliced into calm series, and on a plant.

All series are answered by the worker's own code from their first reading on, without training and with one setting.
docs/anomalies.md describes the measurement.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.harness.detection import faults
from benchmarks.harness.detection.faults import Alarms, Trial
from benchmarks.harness.detection.labelled import Labelled, LabelScore, labelled_series, score_alarms
from benchmarks.harness.detection.plant.run import run_plant
from benchmarks.harness.real import VARIABLE, named_data
from benchmarks.harness.scores import cells, shown
from tidecast.arrays import Bools, Float
from tidecast.files.history import History
from tidecast.online.forecaster import Forecaster
from tidecast.settings import AnomalySettings, SeriesSettings
from trainer.evaluation.virtual_clock import results_of

DEFAULT = AnomalySettings().threshold
THRESHOLDS = (300.0, 1000.0, 2000.0, DEFAULT, 20_000.0)
# The standard profile of other detectors on the 24 open series, each with its own best threshold: from the results that
# the benchmark's repository publishes.
PUBLISHED = {
    "ARTime": 75.3,
    "CAD OSE": 72.7,
    "Numenta HTM": 71.1,
    "KNN CAD": 65.3,
    "Relative entropy": 55.4,
    "Skyline": 50.9,
    "Random Cut Forest": 50.3,
    "Twitter ADVec": 41.8,
    "Windowed Gaussian": 36.5,
}
USUAL: dict[str, Callable[[Float], Bools]] = {
    "3 sigma of the last 100": faults.three_sigma,
    "EWMA chart": faults.control_chart,
}


def options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's own options."""
    parser.add_argument("--data", type=Path, default=named_data(), help=f"labelled series; else {VARIABLE} names it")
    parser.add_argument("--seed", type=int, default=0, help="of the calm series")
    parser.add_argument("--only", choices=PARTS, help="one of the parts")


def measure(args: argparse.Namespace) -> dict[str, float]:
    """Measure the parts, print a table of each, and return the figures by name."""
    figures: dict[str, float] = {}
    for name, part in PARTS.items():
        if args.only in (None, name):
            figures |= part(args)
    return figures


def _labelled(args: argparse.Namespace) -> dict[str, float]:
    """Score the labelled series at each threshold, and return the scores at the best one and at the default."""
    series = labelled_series(args.data) if args.data else []
    if not series:
        print("labelled needs --data with nab*_windows.json and the series of the Numenta Anomaly Benchmark")
        return {}
    print(cells(["threshold", "standard profile", "windows found", "false alarms"]), "|---:|---:|---:|---:|", sep="\n")
    scores = {threshold: _label_score(series, threshold) for threshold in THRESHOLDS}
    best = max(scores, key=lambda threshold: scores[threshold].score)
    print("\n| detector | standard profile |\n|---|---:|")
    ours = {"Tidecast": scores[best].score, f"Tidecast, threshold {DEFAULT:.0f}": scores[DEFAULT].score}
    for name, score in sorted((PUBLISHED | ours).items(), key=lambda line: -line[1]):
        print(cells([name, f"{score:.1f}"]))
    return {
        "nab_standard": scores[best].score,
        "nab_standard_default": scores[DEFAULT].score,
        "nab_best_threshold": best,
    }


def _label_score(series: Sequence[Labelled], threshold: float) -> LabelScore:
    alarms = reported([labelled.history for labelled in series], threshold)
    score = score_alarms((labelled, alarms[labelled.history.series]) for labelled in series)
    name = f"{threshold:.0f}" + (" (default)" if threshold == DEFAULT else "")
    print(cells([name, f"{score.score:.1f}", f"{score.found} of {score.windows}", str(score.false_alarms)]), flush=True)
    return score


def _spliced(args: argparse.Namespace) -> dict[str, float]:
    """Compare the reported anomalies with usual detectors on calm series and on faults."""
    trials = faults.trials(args.seed)
    everything = [trial for each in trials.values() for trial in each]
    made = {"Tidecast": reported([trial.history for trial in everything], DEFAULT)}
    for name, detector in USUAL.items():
        made[name] = {t.history.series: detector(t.history.values[:, 0]) for t in everything}
    print(cells(["detector", "false in 5,000", "spikes found", "steps found", "median delay"]))
    print("|---|---:|---:|---:|---:|")
    for name, alarms in made.items():
        print(_spliced_line(name, trials, alarms))
    ours = made["Tidecast"]
    print("\n| calm series | false in 5,000 |\n|---|---:|")
    for trial in trials["calm"]:
        print(cells([trial.kind, shown(faults.false_per_5000([trial], ours), "{:.1f}")]))
    return {
        "spliced_false_per_5000": faults.false_per_5000(trials["calm"], ours),
        "spliced_spikes_found_share": faults.found_share(trials["spikes"], ours),
        "spliced_steps_found_share": faults.found_share(trials["steps"], ours),
    }


def _spliced_line(name: str, trials: dict[str, list[Trial]], alarms: Alarms) -> str:
    delays = [delay for trial in trials["steps"] for delay in faults.delays(trial, alarms)]
    shares = [f"{100 * faults.found_share(trials[fault], alarms):.0f} %" for fault in ("spikes", "steps")]
    false = shown(faults.false_per_5000(trials["calm"], alarms), "{:.1f}")
    return cells([name, false, *shares, f"{np.median(delays):.0f}"])


def reported(histories: Iterable[History], threshold: float) -> dict[str, Bools]:
    """Return the readings that the worker's code marks as anomalies, `(readings,)` each, by series."""
    alarms: dict[str, Bools] = {}
    for history in histories:  # each alone, as their times do not belong together
        forecaster = Forecaster(
            SeriesSettings(target=history.features[0]), anomalies=AnomalySettings(threshold=threshold)
        )
        results = list(results_of(forecaster, [history]))
        origins = np.concatenate([np.asarray(result.forecasts.origin) for result in results])
        marked = np.concatenate([np.asarray(result.forecasts.anomaly, np.float64) for result in results]) == 1
        alarms[history.series] = np.isin(history.ts, origins[marked])
    return alarms


def _plant(args: argparse.Namespace) -> dict[str, float]:
    """Run the scripted plant through a worker, and print the reported faults and the false alarms of each kind."""
    verdict = run_plant(seed=args.seed)
    print("| fault | reported | median delay, readings |\n|---|---:|---:|")
    for kind, (caught, scripted) in verdict.faults.items():
        print(cells([kind, f"{caught} of {scripted}", f"{np.median(verdict.delays[kind] or [np.nan]):.1f}"]))
    false = Counter(f"{event.kind} of {event.series}" for event in verdict.false_alarms)
    print(f"\n{false.total()} false alarms in {verdict.readings} readings: {dict(false.most_common())}")
    return verdict.figures()


PARTS = {"labelled": _labelled, "spliced": _spliced, "plant": _plant}
