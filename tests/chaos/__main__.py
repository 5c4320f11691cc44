"""`python -m tests.chaos`: the long runs, a storm (`--minutes`) or kills (`--kills`); the suite has short ones.

`python -m tests.chaos retraining`: kills while the schedule retrains, of children and of workers.
`python -m tests.chaos training`: kills and stops while a scheduler of Dask trains.
`python -m tests.chaos silences`: kills around the commits that report silent and returning series.
`python -m tests.chaos lives`: kills while series are renamed and deleted.
`python -m tests.chaos repartitions`: kills while the number of partitions changes.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

from tests.chaos.accidents.accident import ACCIDENTS, run_accident
from tests.chaos.accidents.verdict import Verdict
from tests.chaos.controls import CONTROLS, run_control
from tests.chaos.harness import kill_run
from tests.chaos.lives.lives_run import Lives, lives_run
from tests.chaos.repartitions.controls import CONTROLS as REPARTITION_CONTROLS
from tests.chaos.repartitions.repartition_run import CONTROL_RATE, RepartitionReport, figures_of, repartition_run
from tests.chaos.silences.silences_run import Silences, silences_run
from tests.chaos.storms.faults import BITES, FAULTS, KILLS
from tests.chaos.storms.storm import StormReport, storm_run
from tests.chaos.trainings.retraining import retraining_run
from tests.chaos.trainings.training import (
    KILL_DRIVER,
    KILL_SCHEDULER,
    KILL_WORKER,
    READINGS,
    SERIES,
    STOP_DRIVER,
    STOP_WORKER,
    Load,
    training_run,
)
from tests.chaos.verifier import Violations

RUNS: dict[str, Callable[[Path, int, int, int], Lives | Silences]] = {"lives": lives_run, "silences": silences_run}
RATE = 520  # readings a second
ROUND_EVERY_S = 120.0  # of a storm, for each round of repartitions after it
Found = TypeVar("Found")


def main() -> int:
    """Run, print the result, and exit 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument(
        "what", nargs="?", choices=["retraining", "training", "repartitions", *RUNS], help="one kind of kills"
    )
    parser.add_argument("--minutes", type=float, help="storm for so long, then run the controls and the accidents")
    parser.add_argument("--rate", type=int, default=RATE, help="readings a second, of a storm")
    parser.add_argument("--readings", type=int, help="of a run of kills, or of each series that is trained")
    parser.add_argument("--series", type=int, default=SERIES, help="that a scheduler trains")
    parser.add_argument(
        "--stopped-drivers", type=int, default=3, help="while a scheduler trains; each takes a run more"
    )
    parser.add_argument("--kills", type=int, default=20, help="of workers")
    parser.add_argument("--child-kills", type=int, default=100, help="of children that retrain")
    parser.add_argument("--rounds", type=int, default=20, help="of 16, 4 and 1 partitions")
    parser.add_argument("--calm", action="store_true", help="kill nothing while the partitions change")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    options = parser.parse_args()
    if options.what == "retraining":
        return _retraining(options.child_kills, options.kills, options.seed, as_json=options.json)
    if options.what == "training":
        load = Load(options.series, options.readings or READINGS)
        return _training(load, options.kills, options.stopped_drivers, options.seed, as_json=options.json)
    if options.what == "repartitions":
        return _repartitions(options.rounds, options.rate, options.seed, calm=options.calm, as_json=options.json)
    readings = options.readings or 20_000
    if options.what:
        return _run(options.what, readings, options.kills, options.seed, as_json=options.json)
    if options.minutes is not None:
        return _storm(60 * options.minutes, options.rate, options.seed, as_json=options.json)
    return _kills(readings, options.kills, options.seed, as_json=options.json)


def _kills(readings: int, kills: int, seed: int, *, as_json: bool) -> int:
    with tempfile.TemporaryDirectory() as folder:
        report = kill_run(Path(folder), readings, kills, seed)
    violations = report.violations
    figures = {"readings": report.readings, "kills": report.kills, "bites": report.bites, **violations.by_kind()}
    _print_figures(figures, violations.notes, as_json=as_json)
    return 1 if violations.total() else 0


def _run(what: str, readings: int, kills: int, seed: int, *, as_json: bool) -> int:
    with tempfile.TemporaryDirectory() as folder:
        report = RUNS[what](Path(folder), readings, kills, seed)
    violations = report.violations
    figures = {"kills": report.kills, **report.events, **violations.by_kind()}
    notes = [*violations.notes, *report.left()]
    _print_figures(figures, notes, as_json=as_json)
    return 1 if notes else 0


def _retraining(child_kills: int, worker_kills: int, seed: int, *, as_json: bool) -> int:
    with tempfile.TemporaryDirectory() as folder:
        report = retraining_run(Path(folder), child_kills, worker_kills, seed)
    figures = {name: value for name, value in asdict(report).items() if name != "notes"}
    _print_figures(figures, report.notes, as_json=as_json)
    return 1 if report.violations() else 0


def _training(load: Load, kills: int, stopped_drivers: int, seed: int, *, as_json: bool) -> int:
    faults = {KILL_WORKER: kills, STOP_WORKER: 5, KILL_DRIVER: 3, STOP_DRIVER: stopped_drivers, KILL_SCHEDULER: 3}
    with tempfile.TemporaryDirectory() as folder:
        report = training_run(Path(folder), faults, seed, load)
    figures = {name: value for name, value in asdict(report).items() if name not in ("faults", "notes")}
    _print_figures(report.faults | figures, report.notes, as_json=as_json)
    return 1 if report.violations() else 0


def _repartitions(rounds: int, rate: int, seed: int, *, calm: bool, as_json: bool) -> int:
    with tempfile.TemporaryDirectory() as folder:
        report = repartition_run(Path(folder), rounds, rate, seed, calm=calm)
    _print_figures(figures_of(report), report.notes, as_json=as_json)
    return 1 if report.total() else 0


def _repartitioned(folder: Path, control: str) -> RepartitionReport:
    """Return how repartitions went without a guard."""
    return repartition_run(folder, 1, CONTROL_RATE, 1, calm=True, control=control)


def _print_figures(figures: Mapping[str, float], notes: list[str], *, as_json: bool) -> None:
    lines = "\n".join(f"{name:12} {value}" for name, value in figures.items())
    print(json.dumps({"figures": figures}) if as_json else lines)
    print("\n".join(notes[:10]), file=sys.stderr)


def _storm(seconds: float, rate: int, seed: int, *, as_json: bool) -> int:
    with tempfile.TemporaryDirectory() as folder:
        report = storm_run(Path(folder), seconds, rate, seed)
        (moved := Path(folder) / "repartitions").mkdir()
        changes = repartition_run(moved, max(1, round(seconds / ROUND_EVERY_S)), rate, seed)
    controls: dict[str, Violations | RepartitionReport] = {name: _in_new_folder(run_control, name) for name in CONTROLS}
    controls |= {f"repartition: {name}": _in_new_folder(_repartitioned, name) for name in REPARTITION_CONTROLS}
    verdicts = {name: _in_new_folder(run_accident, name) for name in ACCIDENTS}
    caught = sum(found.total() > 0 for found in controls.values())
    passed = sum(verdict.violations() == 0 for verdict in verdicts.values())
    _print_table(report, controls)
    _print_figures(figures_of(changes), changes.notes, as_json=False)
    _print_accidents(verdicts)
    if as_json:
        counts = {"controls": len(controls), "controls_caught": caught}
        counts |= {"accidents": len(verdicts), "accidents_passed": passed}
        counts |= {"repartitions": changes.repartitions, "repartition_violations": changes.total()}
        print(json.dumps({"figures": _figures(report) | counts}))
    notes = [f"{name}: {note}" for name, verdict in verdicts.items() for note in verdict.notes]
    print("\n".join([*report.violations.notes[:10], *notes[:10]]), file=sys.stderr)
    kept = report.violations.total() + changes.total() + report.crashes == 0
    return 0 if kept and caught == len(controls) and passed == len(verdicts) else 1


def _in_new_folder(run: Callable[[Path, str], Found], name: str) -> Found:
    with tempfile.TemporaryDirectory() as folder:
        return run(Path(folder), name)


def _figures(report: StormReport) -> dict[str, int]:
    counted = {
        "named_point_kills": "kill a worker at a named point",
        "stops": "stop a worker beyond its lease",
        "redis_kills": "kill Redis",
        "dropped_replies": "drop a reply",
        "delays": "delay",
        "half_closes": "half-close",
        "splits": "split",
        "script_flushes": "SCRIPT FLUSH",
        "ooms": "OOM",
        "noreplicas": "NOREPLICAS",
        "misconfs": "MISCONF",
        "busies": "BUSY",
    }
    figures = {"readings": report.readings, "kills": sum(report.injections[fault] for fault in KILLS)}
    figures |= {name: report.injections[fault] for name, fault in counted.items()} | {"crashes": report.crashes}
    return figures | {kind: report.bitten(kind) for kind in BITES} | report.violations.by_kind()


def _print_table(report: StormReport, controls: Mapping[str, Violations | RepartitionReport]) -> None:
    head = f"{'fault':32} {'injections':>10} " + " ".join(f"{kind:>9}" for kind in BITES) + f" {'violations':>10}"
    print(head)
    for fault in (*KILLS, *FAULTS):
        bites = " ".join(f"{report.bites[fault][kind]:9}" for kind in BITES)
        print(f"{fault:32} {report.injections[fault]:10} {bites} {'':>10}")
    bites = " ".join(f"{report.bitten(kind):9}" for kind in BITES)
    print(f"{'the whole storm':32} {report.injections.total():10} {bites} {report.violations.total():10}")
    for name, violations in controls.items():
        print(f"{'control: ' + name:32} {1:10} {' '.join(['         '] * len(BITES))} {violations.total():10}")


def _print_accidents(verdicts: dict[str, Verdict]) -> None:
    print(f"\n{'accident':32} {'readings':>10} {'lost':>9} {'gone':>9} {'violations':>10}")
    for name, verdict in verdicts.items():
        print(f"{name:32} {verdict.readings:10} {verdict.lost:9} {verdict.gone:9} {verdict.violations():10}")


if __name__ == "__main__":
    sys.exit(main())
